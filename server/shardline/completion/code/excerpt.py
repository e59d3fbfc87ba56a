"""Windows around the cursor for the model, and the item around it."""

from collections.abc import Sequence

from shardline.completion import Source
from shardline.completion.code.indentation import width

PREFIX_CHARACTERS = 32_768
SUFFIX_CHARACTERS = 8_192
EDGE_STEP = 64
"""The first line of the window is a multiple of this, so that it moves rarely and the model's cache holds; lines are
counted by so many at once."""

ITEM_CHARACTERS = 16_384

CLOSING = ")]}"


def window(source: Source) -> tuple[str, str]:
    """Return the text before and after the cursor, whole lines at the far ends, line endings as line feeds."""
    lines = [*source.above, *source.lines[: source.line]] if source.above else source.lines
    line = len(source.above) + source.line
    prefix = "".join(lines[_first_line(lines, line) : line]) + source.before
    suffix, last = source.lines[source.line][source.column :], source.line + 1
    while last < len(source.lines) and len(suffix) < SUFFIX_CHARACTERS:
        suffix += "".join(source.lines[last : last + EDGE_STEP])
        last += EDGE_STEP
    return _plain(prefix[-PREFIX_CHARACTERS:]), _plain(suffix[:SUFFIX_CHARACTERS])


def item(source: Source) -> tuple[str, str]:
    """Return the function, class or other item around the cursor, by indentation: before and after the cursor.

    It begins with the nearest line above that is indented least, and ends before the first below that is
    indented no more than that, but for a closing bracket. Brackets that it opens it also closes.
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
    """How deep the cursor's line is; a blank one as deep as the cursor."""
    return width(source.lines[source.line]) if source.lines[source.line].strip() else width(source.before)


def _first_line(lines: Sequence[str], line: int) -> int:
    """Return the line where the prefix begins: the start of the text, or the last step that holds enough."""
    first = line // EDGE_STEP * EDGE_STEP
    length = sum(map(len, lines[first:line]))
    while first and length < PREFIX_CHARACTERS // 2:
        first -= EDGE_STEP
        length += sum(map(len, lines[first : first + EDGE_STEP]))
    return first


def _plain(text: str) -> str:
    """Line feeds only, and no lone surrogates, which no tokenizer takes."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
