"""Counts of shown, accepted and kept suggestions."""

from collections import deque
from collections.abc import Callable, Sequence

from shardline.completion import Source, Suggestion
from shardline.completion.acceptance.shown import Shown
from shardline.statistics.counts import ACCEPTED, CHARACTERS, KEPT, Label, shown_after

MAX_SHOWN = 64
"""Suggestions kept, for late reports of acceptance and for deleted keys."""


class AcceptanceTracker:
    """The suggestions on a client's screen; `count` receives what to add to the statistics.

    A suggestion is shown once, however often it is answered while the user types it. It is accepted once: when the
    client reports it, or when an edit inserts it whole. Accepted characters count, also of a single word or line.
    Those that remain in the document at `settle` are kept.
    """

    def __init__(self, count: Callable[[Label, str, int], None]) -> None:
        self._count = count
        self._shown: deque[tuple[Shown, Label]] = deque(maxlen=MAX_SHOWN)  # newest first
        self._lines: dict[str, Sequence[str]] = {}  # the current lines of each document
        self._accepted: dict[Shown, Label] = {}  # since the last `settle`
        self._resting: dict[Shown, Label] = {}  # before that
        self._next = 0

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to settle."""
        return not (self._accepted or self._resting)

    def show(self, source: Source, suggestions: Sequence[Suggestion], label: Label, milliseconds: float) -> int:
        """Count suggestions as shown, one at a time, and return the number to accept them by."""
        for pair in self._shown:
            if pair[0].document == source.document and pair[0].merge(source, suggestions):
                self._shown.remove(pair)
                self._shown.appendleft(pair)
                return pair[0].number
        self._next += 1
        self._shown.appendleft((Shown(self._next, source, suggestions), label))
        self._lines[source.document] = source.lines
        self._count(label, shown_after(milliseconds), 1)
        return self._next

    def follow(self, document: str, lines: Sequence[str], at_once: int) -> None:
        """Follow the document to its new lines, after edits that each inserted at most `at_once` characters."""
        if document in self._lines:
            self._lines[document] = lines
        for shown, label in self._shown:
            if shown.document == document:
                self._update(shown, label, lambda shown: shown.follow(lines, at_once))
                return

    def accept(self, number: int, choice: int) -> None:
        """Record the client's report that a candidate was accepted; ignore unknown ones."""
        for shown, label in self._shown:
            if shown.number == number:
                self._update(shown, label, lambda shown: shown.accept(choice))
                return

    def settle(self) -> None:
        """Count what was accepted before the last call; call this periodically."""
        self._count_kept(list(self._resting))
        self._resting, self._accepted = self._accepted, {}

    def close(self, document: str) -> None:
        """Settle what was accepted in a document that was closed."""
        self._count_kept([shown for shown in (*self._accepted, *self._resting) if shown.document == document])
        self._shown = deque((pair for pair in self._shown if pair[0].document != document), MAX_SHOWN)
        self._lines.pop(document, None)

    def close_all(self) -> None:
        """Close all documents."""
        for document in list(self._lines):
            self.close(document)

    def _update(self, shown: Shown, label: Label, change: Callable[[Shown], None]) -> None:
        was_accepted = shown.accepted
        change(shown)
        if shown.accepted and not was_accepted:
            self._count(label, ACCEPTED, 1)
        if not shown.is_settled:
            self._accepted[shown] = label

    def _count_kept(self, settled: Sequence[Shown]) -> None:
        for shown in settled:
            label = self._accepted.pop(shown, None) or self._resting.pop(shown)
            characters, kept = shown.settle(self._lines[shown.document])
            self._count(label, CHARACTERS, characters)
            self._count(label, KEPT, kept)
