"""One engine for all editors of a user, in a process of its own."""
