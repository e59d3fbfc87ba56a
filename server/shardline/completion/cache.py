"""Cache of suggestions by document and position."""

from collections import deque

from shardline.completion import Suggestion
from shardline.completion.position import Position, rest

MAX_SUGGESTIONS = 32
"""Suggestions kept per document: enough to go back this many keys by deleting."""


class SuggestionCache:
    """The latest suggestions of each document; each also answers further on, while the user types it."""

    def __init__(self) -> None:
        self._entries: dict[str, deque[tuple[Position, Suggestion]]] = {}

    def add(self, document: str, position: Position, suggestion: Suggestion) -> None:
        """Keep a suggestion that was made for `position`."""
        entries = self._entries.setdefault(document, deque(maxlen=MAX_SUGGESTIONS))
        entries.appendleft((position, suggestion))

    def find(self, document: str, position: Position) -> Suggestion | None:
        """Return the rest of the newest suggestion that leads to `position`, or None."""
        for made_for, suggestion in self._entries.get(document, ()):
            left = rest(suggestion, made_for, position)
            if left is not None:
                return left
        return None

    def drop(self, document: str) -> None:
        """Drop the suggestions for a document that was closed."""
        self._entries.pop(document, None)

    def clear(self) -> None:
        """Drop all suggestions: the settings changed."""
        self._entries.clear()
