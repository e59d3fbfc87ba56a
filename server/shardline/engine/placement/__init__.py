"""Placement of layers on devices, before any weight is read."""
