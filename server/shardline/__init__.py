"""Language server that completes code with a model on your own devices."""

__version__ = "0.1.0"
