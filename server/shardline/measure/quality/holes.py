"""Holes cut into a folder of source code."""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shardline.completion import Source
from shardline.completion.code.languages import language, name_of

MAX_BYTES = 200_000
"""Larger files are data or generated."""

OTHERS_CODE = {"site-packages", "node_modules", "__pycache__"}
NO_CODE = {
    "",
    ".cfg",
    ".csv",
    ".html",
    ".ini",
    ".json",
    ".lock",
    ".md",
    ".rst",
    ".svg",
    ".toml",
    ".txt",
    ".xml",
    ".yml",
}

FIRST_LINE = 3
"""Holes lie behind this many lines, so that there is something to go by."""

BLOCK_LINES = 8


Kind = Literal["inside a word", "after a space", "at the indentation", "at a token border", "whole line", "block"]


@dataclass(frozen=True, kw_only=True)
class Hole:
    """A file without the text that filled it: `source` has the cursor there, `expected` is the text."""

    kind: Kind
    source: Source
    expected: str


def cut(folder: Path, count: int, seed: int) -> list[Hole]:
    """Cut `count` holes, of each kind in turn, into the source files below `folder`; the same for the same seed.

    These are the files of languages that we know by the ending of their name, or where there are none any text.
    """
    folder = folder.resolve()
    texts = sorted(path for path in folder.rglob("*") if _is_own_text(path, folder))
    files = [path for path in texts if language(name_of(path))] or texts
    chance = random.Random(seed)  # noqa: S311  not a secret
    holes: list[Hole] = []
    kinds = list(_KINDS)
    misses = 0
    while files and len(holes) < count and misses < 100 * count:
        hole = _hole(chance.choice(files), kinds[len(holes) % len(kinds)], chance)
        if hole is None:
            misses += 1
        else:
            holes.append(hole)
    return holes


def _is_own_text(path: Path, folder: Path) -> bool:
    within = path.relative_to(folder)
    hidden = any(part.startswith(".") or part in OTHERS_CODE for part in within.parts)
    return not hidden and path.suffix not in NO_CODE and path.is_file() and path.stat().st_size < MAX_BYTES


def _hole(path: Path, kind: Kind, chance: random.Random) -> Hole | None:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (UnicodeDecodeError, OSError):
        return None
    if len(lines) <= FIRST_LINE + 1:
        return None
    number = chance.randrange(FIRST_LINE, len(lines) - 1)
    line = lines[number]
    if len(line.strip()) < 8 or len(line) > 200:
        return None
    places = list(_KINDS[kind](lines, number))
    if not places:
        return None
    column, last = chance.choice(places)
    expected = "\n".join([line[column:], *lines[number + 1 : last + 1]])
    rest = [f"{text}\n" for text in lines[last + 1 :]]
    kept = [*(f"{text}\n" for text in lines[:number]), f"{line[:column]}\n", *rest]
    source = Source(document=path.as_uri(), language=name_of(path), lines=kept, line=number, column=column)
    return Hole(kind=kind, source=source, expected=expected)


Places = Iterator[tuple[int, int]]
"""Return where a hole may begin in a line, and the index of the last line that it takes."""


def _inside_word(lines: Sequence[str], number: int) -> Places:
    return ((match.start() + 1, number) for match in re.finditer(r"\w(?=\w{2})", lines[number]))


def _after_space(lines: Sequence[str], number: int) -> Places:
    return ((match.end(), number) for match in re.finditer(r"(?<=\S) (?=\S)", lines[number]))


def _indentation(lines: Sequence[str], number: int) -> Places:
    match = re.match(r"[ \t]+(?=\S)", lines[number])
    return iter([(match.end(), number)] if match else [])


def _token_border(lines: Sequence[str], number: int) -> Places:
    """Before a space that a word follows: every tokenizer has a border there."""
    return ((match.start(), number) for match in re.finditer(r"(?<=\S) (?=\w)", lines[number]))


def _line(_: Sequence[str], number: int) -> Places:
    return iter([(0, number)])


def _block(lines: Sequence[str], number: int) -> Places:
    """All that is indented deeper below a line that opens a block, from that line's end."""
    opening = lines[number]
    depth = len(opening) - len(opening.lstrip())
    last = number
    while last + 1 < len(lines) and lines[last + 1].strip():
        if len(lines[last + 1]) - len(lines[last + 1].lstrip()) <= depth:
            break
        last += 1
    opens = opening.rstrip().endswith((":", "{"))
    return iter([(len(opening), last)] if opens and number < last <= number + BLOCK_LINES else [])


_KINDS: dict[Kind, Callable[[Sequence[str], int], Places]] = {
    "inside a word": _inside_word,
    "after a space": _after_space,
    "at the indentation": _indentation,
    "at a token border": _token_border,
    "whole line": _line,
    "block": _block,
}
