"""Documents for tests, with the cursor marked in their text."""

from shardline.completion import Source
from shardline.lsp.documents import split_lines

CURSOR = "‸"


def at_cursor(document: str, language: str = "python") -> Source:
    """The source of `document`, which has the cursor as ‸."""
    before, cursor, after = document.partition(CURSOR)
    assert cursor, document
    lines = split_lines(before + after)
    line = len(split_lines(before)) - 1
    return Source(document="d", language=language, lines=lines, line=line, column=len(split_lines(before)[-1]))
