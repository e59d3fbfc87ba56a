"""Where a suggestion should end: with its line, or with the block that the cursor is in."""

from shardline.completion import Source
from shardline.settings import CompletionSettings

CLOSING = ")]}"


def is_single_line(source: Source, wish: CompletionSettings) -> bool:
    """Whether to complete only the line; where that is open, if anything follows the cursor in it."""
    if wish.multiline == "auto":
        return bool(source.after.strip())
    return wish.multiline == "never"


def stop_sequences(source: Source, wish: CompletionSettings) -> tuple[str, ...]:
    """The texts that end a suggestion at this cursor."""
    return ("\n",) if is_single_line(source, wish) else ("\n\n",)


def end(source: Source, text: str, wish: CompletionSettings) -> int | None:
    """Where `text`, generated at the cursor so far, is to end; None while it may go on."""
    ends = [at for at in (_end_of_block(source, text), _end_of_lines(text, wish.max_lines)) if at is not None]
    return min(ends, default=None)


def _end_of_lines(text: str, most: int) -> int | None:
    """The end of the last line allowed, counted from the first that says something."""
    at = len(text) - len(text.lstrip("\n"))
    for _ in range(most):
        at = text.find("\n", at) + 1
        if not at:
            return None
    return at - 1


def _end_of_block(source: Source, text: str) -> int | None:
    """Where the block is left: before the first line that is indented less than the cursor's own.

    A line that opens with a closing bracket still belongs to it.
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
