"""Speed of the model on this machine."""
