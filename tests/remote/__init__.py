"""Tests of remote servers: scripted peers, and real ones by `python -m tests.remote`."""
