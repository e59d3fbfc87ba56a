"""Counts of suggestions on this machine, without code or names."""
