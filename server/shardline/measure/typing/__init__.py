"""Speed and truth of suggestions for a typing person."""
