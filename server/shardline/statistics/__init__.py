"""What became of suggestions, counted and kept on this machine; nothing of a user's code, folders or files is in it."""
