"""Text that a terminal shows and never obeys."""

import re

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tabs and line feeds, marks that turn the direction of text, and halves of characters."""


def printable(text: str) -> str:
    """Return `text` with a visible escape in place of each character that a terminal obeys."""
    return OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
