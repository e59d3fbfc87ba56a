"""Linear layers, packed weights and their matrix products."""
