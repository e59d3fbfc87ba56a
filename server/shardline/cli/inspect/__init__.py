"""Commands that inspect a model and a machine without loading weights."""
