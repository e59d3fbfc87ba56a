"""The life of the engine behind the server."""
