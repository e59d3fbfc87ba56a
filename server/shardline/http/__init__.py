"""HTTP server for one engine and many clients."""
