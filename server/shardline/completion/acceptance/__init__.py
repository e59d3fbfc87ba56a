"""Acceptance of suggestions."""
