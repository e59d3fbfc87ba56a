"""The room of HTTP: an engine for many clients. Starlette and uvicorn live here and nowhere else."""
