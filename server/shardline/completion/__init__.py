"""From a document and a cursor to a finished suggestion.

It knows no protocol and no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shardline.engine import Usage


@dataclass(frozen=True, kw_only=True)
class Source:
    """A document as it was at one moment, and where the cursor stood.

    `lines` keep their line endings and together are the whole text; `line` and `column` count from 0, the
    column in characters. `above` are the lines of what belongs before the document: the earlier cells of a notebook.
    `characters` is the length of the whole text where that is known: to count it takes longer than all else.
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
        """The first line below the cursor's that says something, without the white space at its end."""
        numbers = range(self.line + 1, len(self.lines))
        return next((self.lines[number].rstrip() for number in numbers if self.lines[number].strip()), None)

    def moved(self, columns: int) -> "Source":
        """Return the same document with the cursor `columns` characters further on in its line."""
        return replace(self, column=self.column + columns)

    def accepting(self, suggestion: "Suggestion") -> "Source":
        """Return the document with `suggestion` in it, and the cursor behind that."""
        *above, last = (self.before + suggestion.text).split("\n")
        behind = self.lines[self.line][self.column + len(suggestion.repeats) :]
        added = [*(f"{line}\n" for line in above), last + behind]
        lines = [*self.lines[: self.line], *added, *self.lines[self.line + 1 :]]
        return replace(self, lines=lines, line=self.line + len(above), column=len(last), characters=None)


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Text to be inserted at the cursor, its lines separated by line feeds; empty where there is nothing to say.

    `repeats` are the places in `text` of what stands behind the cursor already, brackets that the editor has closed:
    where `text` is inserted whole, it replaces as many characters behind the cursor.
    """

    text: str
    repeats: tuple[int, ...] = ()
    usage: Usage | None = None
    logprob: float = 0.0
    """The logarithm of the probability of all its tokens."""
    confidence: float = 1.0
    """The geometric mean of the probabilities of its tokens."""
    cuts: tuple[str, ...] = ()
    """Why it is not all that the model wrote, in words."""

    @property
    def insertion(self) -> str:
        """The text as far as it can be inserted with nothing replaced."""
        return self.text[: self.repeats[0]].rstrip() if self.repeats else self.text
