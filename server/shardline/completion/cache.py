"""Cache of suggestions, found again at their cursor and while typed."""

from collections import deque

from shardline.completion import Suggestion
from shardline.completion.position import Place, rest

MOST = 32
"""Suggestions kept for a document: as many as one may go back to by taking keys back."""


class SuggestionCache:
    """The latest suggestions for each document, with the places that they were made for."""

    def __init__(self) -> None:
        self._entries: dict[str, deque[tuple[Place, Suggestion]]] = {}

    def add(self, document: str, place: Place, suggestion: Suggestion) -> None:
        """Keep what was suggested at `place`."""
        entries = self._entries.setdefault(document, deque(maxlen=MOST))
        entries.appendleft((place, suggestion))

    def find(self, document: str, place: Place) -> Suggestion | None:
        """Return the rest of the newest suggestion made here, or before the text typed since.

        None where nothing is known, or nothing is left.
        """
        for made_for, suggestion in self._entries.get(document, ()):
            left = rest(suggestion, made_for, place)
            if left is not None:
                return left
        return None

    def drop(self, document: str) -> None:
        """Free what is kept for a document that was closed."""
        self._entries.pop(document, None)

    def clear(self) -> None:
        """Forget all: they would no longer be what is wished."""
        self._entries.clear()
