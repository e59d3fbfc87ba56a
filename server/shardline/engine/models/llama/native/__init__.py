"""The decode step as machine code, compiled by the user's compiler."""
