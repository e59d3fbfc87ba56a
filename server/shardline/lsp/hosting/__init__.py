"""Lifecycle of the engine behind the server."""
