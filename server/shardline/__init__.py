"""Shardline: a language server that completes code with a model sharded over your own devices."""

__version__ = "0.1.0"
