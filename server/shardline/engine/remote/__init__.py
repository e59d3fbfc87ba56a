"""Engines over completion servers elsewhere, without torch."""
