"""Suggestions already known: what was made for a cursor answers there again, and further on while one types it."""

from collections import deque
from dataclasses import dataclass, replace

from shardline.completion import Suggestion

MOST = 32
"""Suggestions kept for a document: as many as one may go back to by taking keys back."""


@dataclass(frozen=True)
class _Entry:
    prefix: str
    suffix: str
    suggestion: Suggestion


class SuggestionCache:
    """The latest suggestions for each document, with the text before and after the cursor that they were made for."""

    def __init__(self) -> None:
        self._entries: dict[str, deque[_Entry]] = {}

    def add(self, document: str, prefix: str, suffix: str, suggestion: Suggestion) -> None:
        """Keep what was suggested between `prefix` and `suffix`."""
        self._entries.setdefault(document, deque(maxlen=MOST)).appendleft(_Entry(prefix, suffix, suggestion))

    def find(self, document: str, prefix: str, suffix: str) -> Suggestion | None:
        """What is left of the newest suggestion that was made here, or before what was typed of it since.

        It has no usage, because it costs nothing. None where nothing is known, or nothing is left.
        """
        for entry in self._entries.get(document, ()):
            rest = _rest(entry, prefix, suffix)
            if rest is not None:
                return rest
        return None

    def forget(self, document: str) -> None:
        """Free what is kept for a document that was closed."""
        self._entries.pop(document, None)

    def clear(self) -> None:
        """Forget all: they would no longer be what is wished."""
        self._entries.clear()


def _rest(entry: _Entry, prefix: str, suffix: str) -> Suggestion | None:
    if not prefix.startswith(entry.prefix):
        return None
    suggestion, typed = entry.suggestion, prefix[len(entry.prefix) :]
    repeats = tuple(place - len(typed) for place in suggestion.repeats if place >= len(typed))
    typed_over = len(suggestion.repeats) - len(repeats)
    if entry.suffix[typed_over:] != suffix or not suggestion.text.startswith(typed):
        return None
    text = suggestion.text[len(typed) :]
    return replace(suggestion, text=text, repeats=repeats, usage=None) if text or not typed else None
