"""Excerpts of a document: the model's window and the cursor's item."""

from collections.abc import Sequence

from shardline.completion import Source
from shardline.completion.code.indentation import width

PREFIX_CHARACTERS = 32_768
SUFFIX_CHARACTERS = 8_192
EDGE_STEP = 64
"""The window begins at a multiple of this many lines: it moves rarely, so the KV cache stays valid."""

ITEM_CHARACTERS = 16_384

CLOSING = ")]}"


def window(source: Source) -> tuple[str, str]:
    """Return the text before and after the cursor, with line feeds as line endings."""
    lines = [*source.above, *source.lines[: source.line]] if source.above else source.lines
    line = len(source.above) + source.line
    prefix = "".join(lines[_first_line(lines, line) : line]) + source.before
    suffix, last = source.lines[source.line][source.column :], source.line + 1
    while last < len(source.lines) and len(suffix) < SUFFIX_CHARACTERS:
        suffix += "".join(source.lines[last : last + EDGE_STEP])
        last += EDGE_STEP
    return _plain(prefix[-PREFIX_CHARACTERS:]), _plain(suffix[:SUFFIX_CHARACTERS])


def item(source: Source) -> tuple[str, str]:
    """Return the item around the cursor, such as a function or class, before and after the cursor.

    It begins at the nearest line above with the least indentation. It ends before the first line below that is
    indented no more, except for a closing bracket. Brackets that it opens it also closes.
    """
    first, least, length = source.line, _width_before(source), 0
    for number in range(source.line - 1, -1, -1):
        line = source.lines[number]
        length += len(line)
        if length > ITEM_CHARACTERS or least == 0:
            break
        if line.strip() and line.lstrip()[0] not in CLOSING and width(line) < least:
            first, least = number, width(line)
    last, length = source.line, 0
    for number in range(source.line + 1, len(source.lines)):
        line = source.lines[number]
        length += len(line)
        if length > ITEM_CHARACTERS:
            break
        if line.strip() and width(line) <= least:
            last = number if line.lstrip()[0] in CLOSING else last
            break
        last = number
    before = "".join(source.lines[first : source.line]) + source.before
    after = source.lines[source.line][source.column :] + "".join(source.lines[source.line + 1 : last + 1])
    return _plain(before[-ITEM_CHARACTERS:]), _plain(after[:ITEM_CHARACTERS])


def _width_before(source: Source) -> int:
    """Return the indentation of the cursor's line; for a blank line, the cursor's column."""
    return width(source.lines[source.line]) if source.lines[source.line].strip() else width(source.before)


def _first_line(lines: Sequence[str], line: int) -> int:
    """Return the first line of the prefix: the last multiple of `EDGE_STEP` that leaves enough text, or 0."""
    first = line // EDGE_STEP * EDGE_STEP
    length = sum(map(len, lines[first:line]))
    while first and length < PREFIX_CHARACTERS // 2:
        first -= EDGE_STEP
        length += sum(map(len, lines[first : first + EDGE_STEP]))
    return first


def _plain(text: str) -> str:
    """Return `text` with line feeds only and without lone surrogates, which no tokenizer takes."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
