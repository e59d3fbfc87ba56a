"""What a typing person gets."""
