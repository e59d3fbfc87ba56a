"""What the model gets to see of a document: windows around the cursor whose edges stay put while one types."""

from collections.abc import Sequence

from shardline.completion import Source

PREFIX_CHARACTERS = 32_768
SUFFIX_CHARACTERS = 8_192
EDGE_STEP = 64
"""The first line of the window is a multiple of this, so that it moves rarely and the model's cache holds."""


def window(source: Source) -> tuple[str, str]:
    """Return the text before and after the cursor, whole lines at the far ends, line endings as line feeds."""
    first = _first_line(source.lines, source.line)
    prefix = "".join(source.lines[first : source.line]) + source.before
    last = source.line + 1
    length = 0
    while last < len(source.lines) and length < SUFFIX_CHARACTERS:
        length += len(source.lines[last])
        last += 1
    suffix = source.lines[source.line][source.column :] + "".join(source.lines[source.line + 1 : last])
    return _plain(prefix[-PREFIX_CHARACTERS:]), _plain(suffix[:SUFFIX_CHARACTERS])


def _first_line(lines: Sequence[str], line: int) -> int:
    """The line where the prefix begins: the start of the text, or the last step that holds enough."""
    length, first = 0, line
    while first > 0 and length < PREFIX_CHARACTERS // 2:
        first -= 1
        length += len(lines[first])
    return first // EDGE_STEP * EDGE_STEP


def _plain(text: str) -> str:
    """Line feeds only, and no lone surrogates, which no tokenizer takes."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
