"""Passages of a file that are typed, and their surroundings."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

PASSAGE_LINES = 30
"""Lines that are typed in one go."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """The document is `head` and `tail`, with the cursor between them, where `text` is going to be typed."""

    head: str
    text: str
    tail: str


def passages(text: str, chance: random.Random) -> Iterator[Passage]:
    """Parts of `text`, which is not blank, without end: whole lines in its last three quarters.

    What follows the part in the file stays below the cursor half of the time; else the document ends there.
    """
    lines = f"{text.rstrip()}\n".splitlines(keepends=True)
    last = max(0, len(lines) - PASSAGE_LINES)
    while True:
        first = chance.randint(min(len(lines) // 4, last), last)
        typed = "".join(lines[first : first + PASSAGE_LINES]).removesuffix("\n")
        tail = "".join(["\n", *lines[first + PASSAGE_LINES :]]) if chance.random() < 0.5 else ""
        if typed.strip():
            yield Passage(head="".join(lines[:first]), text=typed, tail=tail)
