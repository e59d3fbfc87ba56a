"""Servers elsewhere as engines: laws in front of peers of our own, and real servers by `python -m tests.remote`."""
