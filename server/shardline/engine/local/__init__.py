"""One model in this process."""
