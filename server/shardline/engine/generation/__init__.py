"""Sequences, their KV caches, and the scheduler that runs them."""
