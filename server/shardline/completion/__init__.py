"""Finished suggestions from a document and a cursor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shardline.engine import Usage


@dataclass(frozen=True, kw_only=True)
class Source:
    """A snapshot of a document with its cursor.

    `lines` keep their line endings and together are the whole text. `line` and `column` count from 0, the column in
    characters. `above` holds lines from before the document: the earlier cells of a notebook. `characters` is the
    length of the text if known; counting it takes longer than everything else here.
    """

    document: str
    language: str
    lines: Sequence[str]
    line: int
    column: int
    above: Sequence[str] = ()
    characters: int | None = None

    @property
    def before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.lines[self.line][: self.column]

    @property
    def after(self) -> str:
        """The cursor's line from the cursor on, without its line ending."""
        return self.lines[self.line][self.column :].rstrip("\r\n")

    @property
    def below(self) -> str | None:
        """The first line below the cursor's that is not blank, without trailing white space."""
        numbers = range(self.line + 1, len(self.lines))
        return next((self.lines[number].rstrip() for number in numbers if self.lines[number].strip()), None)

    def moved(self, columns: int) -> "Source":
        """Return the same document with the cursor moved by `columns` in its line."""
        return replace(self, column=self.column + columns)

    def accepting(self, suggestion: "Suggestion") -> "Source":
        """Return the document with `suggestion` inserted and the cursor behind it."""
        *above, last = (self.before + suggestion.text).split("\n")
        behind = self.lines[self.line][self.column + len(suggestion.repeats) :]
        added = [*(f"{line}\n" for line in above), last + behind]
        lines = [*self.lines[: self.line], *added, *self.lines[self.line + 1 :]]
        return replace(self, lines=lines, line=self.line + len(above), column=len(last), characters=None)


class Cut(StrEnum):
    """The reason why part of the model's text is left out, in words."""

    FENCE = "a fence, the end of a chat's code"
    LOOP = "lines that go in circles"
    NEXT_LINE = "the line that follows in the document"
    OVERLAP = "what stands behind the cursor already"
    BRACKETS = "brackets that the document closes below"
    CONFIDENCE = "all: it is less sure than completion.minConfidence"


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Text to insert at the cursor, with line feeds as line endings; it may be empty.

    `repeats` are the indices in `text` of brackets that the editor already put behind the cursor. Inserting the whole
    `text` replaces as many characters behind the cursor.
    """

    text: str
    repeats: tuple[int, ...] = ()
    usage: Usage | None = None
    logprob: float = 0.0
    """The summed log-probability of its tokens."""
    confidence: float = 1.0
    """The geometric mean of the probabilities of its tokens."""
    cuts: tuple[Cut, ...] = ()
    """The parts of the model's text that were left out."""

    @property
    def insertion(self) -> str:
        """The part of the text that can be inserted without replacing anything."""
        return self.text[: self.repeats[0]].rstrip() if self.repeats else self.text
