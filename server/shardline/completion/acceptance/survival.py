"""Parts of an inserted text that remain after later edits."""

from collections.abc import Sequence

RUN = 8
"""So many characters in a row have to stand there still: of fewer, some are found in any code."""

NEAR = 20
"""In so many lines above and below its place a text is looked for."""

FAR = 10_000
"""Not farther from its place than so many characters, where lines are long."""


def remains(text: str, lines: Sequence[str], line: int, column: int) -> set[int]:
    """Return the indexes in `text`, put at `line` and `column`, of the characters that remain in these `lines`.

    A character remains if it still stands near there between its neighbours: in a run of `RUN`, or of all where the
    text has fewer. Blank ones do not count, so that what was only indented or wrapped remains.
    """
    places = [place for place, character in enumerate(text) if not character.isspace()]
    characters = "".join(text[place] for place in places)
    near = "".join(_near(text, lines, line, column).split())
    run = min(RUN, len(characters))
    standing = {near[at : at + run] for at in range(len(near) - run + 1)}
    found: set[int] = set()
    for at in range(len(characters) - run + 1):
        if characters[at : at + run] in standing:
            found.update(places[at : at + run])
    return found


def _near(text: str, lines: Sequence[str], line: int, column: int) -> str:
    first = max(0, line - NEAR)
    place = sum(map(len, lines[first:line])) + column
    around = "".join(lines[first : line + text.count("\n") + 1 + NEAR])
    return around[max(0, place - FAR) : place + len(text) + FAR]
