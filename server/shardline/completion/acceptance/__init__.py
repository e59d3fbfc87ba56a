"""Fate of shown suggestions: typed, accepted, kept."""
