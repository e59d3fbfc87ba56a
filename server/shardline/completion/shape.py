"""Where a suggestion should end: with its line, or with the block that the cursor is in."""

from shardline.completion import Source

CLOSING = ")]}"


def is_single_line(source: Source) -> bool:
    """Whether to complete only the line: something other than white space follows the cursor in it."""
    return bool(source.after.strip())


def stop_sequences(source: Source) -> tuple[str, ...]:
    """The texts that end a suggestion at this cursor."""
    return ("\n",) if is_single_line(source) else ("\n\n",)


def end(source: Source, text: str) -> int | None:
    """Where `text`, generated at the cursor so far, leaves the block; None while it is still inside.

    The block is left before the first line that is indented less than the cursor's own; a line that opens with
    a closing bracket still belongs to it.
    """
    inside = _indentation(source.before)
    at = text.find("\n") + 1
    while 0 < at < len(text):
        newline = text.find("\n", at)
        line = text[at:] if newline < 0 else text[at:newline]
        if line.strip() and _indentation(line) < inside:
            if line.lstrip()[0] not in CLOSING:
                return at - 1
            return None if newline < 0 else newline
        at = newline + 1
    return None


def _indentation(line: str) -> int:
    """The width of the white space that `line` begins with, a tab counted as four."""
    return sum(4 if character == "\t" else 1 for character in line[: len(line) - len(line.lstrip())])
