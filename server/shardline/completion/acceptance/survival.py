"""Survival of accepted text in an edited document."""

from collections.abc import Sequence

RUN = 8
"""Characters in a row that must remain: shorter runs occur in any code."""

NEARBY_LINES = 20
"""Lines above and below its place in which to search for a text."""

MAX_DISTANCE = 10_000
"""Characters around its place in which to search, for long lines."""


def remains(text: str, lines: Sequence[str], line: int, column: int) -> set[int]:
    """Return the indices in `text`, inserted at `line` and `column`, that remain in `lines`.

    A character remains if a run of `RUN` characters around it, or the whole of a shorter text, is still nearby.
    Blank characters do not count, so text that was only indented or wrapped remains.
    """
    indices = [index for index, character in enumerate(text) if not character.isspace()]
    characters = "".join(text[index] for index in indices)
    near = "".join(_near(text, lines, line, column).split())
    run = min(RUN, len(characters))
    remaining = {near[at : at + run] for at in range(len(near) - run + 1)}
    found: set[int] = set()
    for at in range(len(characters) - run + 1):
        if characters[at : at + run] in remaining:
            found.update(indices[at : at + run])
    return found


def _near(text: str, lines: Sequence[str], line: int, column: int) -> str:
    first = max(0, line - NEARBY_LINES)
    start = sum(map(len, lines[first:line])) + column
    around = "".join(lines[first : line + text.count("\n") + 1 + NEARBY_LINES])
    return around[max(0, start - MAX_DISTANCE) : start + len(text) + MAX_DISTANCE]
