"""Commands that look at a model and a machine, and load no weights."""
