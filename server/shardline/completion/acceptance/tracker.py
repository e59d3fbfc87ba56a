"""Shown suggestions of each document, and counts of their fate.

It knows no clock, no protocol and no file.
"""

from collections import deque
from collections.abc import Callable, Sequence

from shardline.completion import Source, Suggestion
from shardline.completion.acceptance.shown import Shown
from shardline.statistics.counts import ACCEPTED, CHARACTERS, KEPT, Label, shown_after

MOST = 64
"""So many suggestions are known back, for clients that report late what was accepted, and for keys taken back."""


class Screen:
    """Sees the suggestions, the changes and the commands of a client, and calls `count` for each event.

    A suggestion is shown once, however often it is answered while one types it. It is accepted once: when the client
    says so, or when a change puts it into the document whole. Characters are counted that came at once, those of
    a single accepted word or line too, and of them those are kept that remain in the document when they are settled.
    """

    def __init__(self, count: Callable[[Label, str, int], None]) -> None:
        self._count = count
        self._shown: deque[tuple[Shown, Label]] = deque(maxlen=MOST)  # the latest first
        self._lines: dict[str, Sequence[str]] = {}  # of each document, as they were last
        self._accepted: dict[Shown, Label] = {}  # since the last look
        self._resting: dict[Shown, Label] = {}  # before it
        self._next = 0

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to look at."""
        return not (self._accepted or self._resting)

    def show(self, source: Source, suggestions: Sequence[Suggestion], label: Label, milliseconds: float) -> int:
        """Suggestions, of which one is shown, were answered after so long; returns the number to accept them by."""
        for pair in self._shown:
            if pair[0].document == source.document and pair[0].goes_on(source, suggestions):
                self._shown.remove(pair)
                self._shown.appendleft(pair)
                return pair[0].number
        self._next += 1
        self._shown.appendleft((Shown(self._next, source, suggestions), label))
        self._lines[source.document] = source.lines
        self._count(label, shown_after(milliseconds), 1)
        return self._next

    def follow(self, document: str, lines: Sequence[str], at_once: int) -> None:
        """Compare with the document's `lines` after edits of which none brought more than `at_once` characters."""
        if document in self._lines:
            self._lines[document] = lines
        for shown, label in self._shown:
            if shown.document == document:
                self._note(shown, label, lambda shown: shown.follow(lines, at_once))
                return

    def accept(self, number: int, choice: int) -> None:
        """Mark a candidate of a suggestion as accepted; unknown numbers are ignored."""
        for shown, label in self._shown:
            if shown.number == number:
                self._note(shown, label, lambda shown: shown.accept(choice))
                return

    def look(self) -> None:
        """Settle what was accepted before the last look: to be called from time to time."""
        self._settle(list(self._resting))
        self._resting, self._accepted = self._accepted, {}

    def close(self, document: str) -> None:
        """Settle what was accepted in a closed document, and drop it."""
        self._settle([shown for shown in (*self._accepted, *self._resting) if shown.document == document])
        self._shown = deque((pair for pair in self._shown if pair[0].document != document), MOST)
        self._lines.pop(document, None)

    def close_all(self) -> None:
        """Close all documents."""
        for document in list(self._lines):
            self.close(document)

    def _note(self, shown: Shown, label: Label, happen: Callable[[Shown], None]) -> None:
        was_accepted = shown.accepted
        happen(shown)
        if shown.accepted and not was_accepted:
            self._count(label, ACCEPTED, 1)
        if not shown.is_settled:
            self._accepted[shown] = label

    def _settle(self, settled: Sequence[Shown]) -> None:
        for shown in settled:
            label = self._accepted.pop(shown, None) or self._resting.pop(shown)
            characters, kept = shown.settle(self._lines[shown.document])
            self._count(label, CHARACTERS, characters)
            self._count(label, KEPT, kept)
