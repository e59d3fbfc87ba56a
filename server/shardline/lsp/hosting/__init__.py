"""Life of the engine behind the server."""
