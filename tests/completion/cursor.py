"""Documents for tests, with the cursor marked in their text."""

from shardline.completion import Source
from shardline.lsp.documents import split_lines

CURSOR = "‸"


def at_cursor(text: str, language: str = "python", document: str = "d") -> Source:
    """Return the source of a document of `text`, which has the cursor as ‸."""
    before, cursor, after = text.partition(CURSOR)
    assert cursor, text
    lines = split_lines(before + after)
    line = len(split_lines(before)) - 1
    return Source(document=document, language=language, lines=lines, line=line, column=len(split_lines(before)[-1]))
