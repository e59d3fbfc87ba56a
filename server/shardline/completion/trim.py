"""Finished text turned into text worth showing."""

from collections.abc import Sequence

from shardline.completion import Source, indentation
from shardline.completion.brackets import balanced, repeats, without_overlap

FENCE = "```"
"""How a model that was trained on chats ends its code; never code itself but in Markdown."""

MOST_REPEATS = 2
"""A line that follows itself more often than this is a model going in circles."""

STYLE_LINES = 200
"""How many lines around the cursor say what the document is indented with."""


def trim(source: Source, text: str) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
    """Drop what is not worth showing; returns the text, empty where nothing is left, what it repeats, and why.

    Dropped are white space at the end, what follows the cursor already in its line and below it, brackets that
    are closed below, lines that go in circles, and the fence at the end of a chat's code. Lines are indented as
    the document is. See `Suggestion.repeats`.
    """
    lines = text.rstrip().split("\n")
    found = {
        "a fence, the end of a chat's code": _fence(source, lines),
        "lines that go in circles": _circle(source, lines),
        "the line that follows in the document": _what_follows(source, lines),
    }
    ends = {why: at for why, at in found.items() if at is not None}
    last = min(ends.values(), default=len(lines))
    cuts = [why for why, at in ends.items() if at == last]
    whole = "\n".join(lines[:last]).rstrip()
    text = without_overlap(source, whole)
    if text != whole:
        cuts.append("what stands behind the cursor already")
    if "\n" in text and (style := _style(source)):
        text = indentation.adapt(text, indentation.margin(source.before), style)
    repeated = repeats(source, text)
    closed = balanced(source, text, len(repeated))
    if closed != text.rstrip():
        cuts.append("brackets that the document closes below")
    if not closed.strip():
        return "", (), tuple(cuts)
    return closed, tuple(at for at in repeated if at < len(closed)), tuple(cuts)


def _style(source: Source) -> str | None:
    """What the document is indented with near the cursor; None where it is not."""
    near = source.lines[max(0, source.line - STYLE_LINES) : source.line + STYLE_LINES]
    return indentation.unit(near)


def _fence(source: Source, lines: Sequence[str]) -> int | None:
    """The first line that is a fence."""
    if source.language == "markdown":
        return None
    return next((number for number, line in enumerate(lines) if line.lstrip().startswith(FENCE)), None)


def _circle(source: Source, lines: Sequence[str]) -> int | None:
    """The line with which a line, or a group of lines, is repeated once too often."""
    lines = [source.before + lines[0], *lines[1:]]
    for number in range(1, len(lines)):
        for size in range(1, number // MOST_REPEATS + 1):
            group = lines[number - size + 1 : number + 1]
            before = lines[: number - size + 1]
            if any(line.strip() for line in group) and all(
                before[len(before) - size * (turn + 1) : len(before) - size * turn] == group
                for turn in range(MOST_REPEATS)
            ):
                return number + 1 - MOST_REPEATS * size
    return None


def _what_follows(source: Source, lines: Sequence[str]) -> int | None:
    """The first line that says what the document's next line says already."""
    already = source.below
    if already is None or len(already.strip()) < 2:
        return None  # a lone bracket may well come twice
    first = source.before + lines[0]
    return next((number for number, line in enumerate([first, *lines[1:]]) if line.rstrip() == already), None)
