"""Benchmarks of speed, quality and typing."""
