"""The decode step as machine code, made by the user's own compiler, with no Python in the way."""
