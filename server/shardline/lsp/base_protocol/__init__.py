"""The base protocol: bytes, headers and JSON-RPC."""
