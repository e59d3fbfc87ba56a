"""Finished text turned into text worth showing."""

from collections.abc import Sequence

from shardline.completion import Source

FENCE = "```"
"""How a model that was trained on chats ends its code; never code itself but in Markdown."""

MOST_REPEATS = 2
"""A line that follows itself more often than this is a model going in circles."""


def trim(source: Source, text: str) -> str:
    """Drop what is not worth showing; empty where nothing is left.

    That is: white space at the end, what already follows the cursor in its line and below it, lines that go in
    circles, and the fence at the end of a chat's code.
    """
    lines = text.rstrip().split("\n")
    cuts = (_fence(source, lines), _circle(lines), _what_follows(source, lines))
    last = min((cut for cut in cuts if cut is not None), default=len(lines))
    text = _without_overlap(source, "\n".join(lines[:last]).rstrip())
    return text if text.strip() else ""


def _without_overlap(source: Source, text: str) -> str:
    """Take off the end of `text` what stands behind the cursor already."""
    after = source.after.rstrip()
    for length in range(min(len(after), len(text)), 0, -1):
        if text.endswith(after[:length]):
            return text[:-length]
    return text


def _fence(source: Source, lines: Sequence[str]) -> int | None:
    """The first line that is a fence."""
    if source.language == "markdown":
        return None
    return next((number for number, line in enumerate(lines) if line.lstrip().startswith(FENCE)), None)


def _circle(lines: Sequence[str]) -> int | None:
    """The line with which a line is repeated once too often."""
    repeats = 1
    for number in range(1, len(lines)):
        repeats = repeats + 1 if lines[number] == lines[number - 1] and lines[number].strip() else 1
        if repeats > MOST_REPEATS:
            return number - MOST_REPEATS + 1
    return None


def _what_follows(source: Source, lines: Sequence[str]) -> int | None:
    """The first line that says what the document's next line says already."""
    following = (line.rstrip() for line in source.lines[source.line + 1 :])
    already = next((line for line in following if line), None)
    if already is None or len(already.strip()) < 2:
        return None  # a lone bracket may well come twice
    first = source.before + lines[0]
    return next((number for number, line in enumerate([first, *lines[1:]]) if line.rstrip() == already), None)
