"""Model checkpoints on the hub, in folders and in GGUF files."""
