"""Headless editor for the demo and for measurements."""
