"""How long to wait for the next key before a suggestion is begun."""

from typing import Literal

MOST_SECONDS = 0.2
"""Longer than this nobody is kept waiting by choice."""

PAUSE_SECONDS = 1.0
"""Who waits longer than this between two requests does not type."""

NEWEST = 0.3
"""The weight of the newest measurement in an average."""


class Debounce:
    """Knows how fast one types and how fast the model begins to write.

    Where its first token usually comes before the next key it is asked at once: a key that agrees joins what is written
    by then, so nothing is lost. Where the next key usually comes first, that key is waited for as long as it usually
    takes, but never longer than half of what the first token takes.
    """

    def __init__(self) -> None:
        self._asked: float | None = None
        self._interval = PAUSE_SECONDS
        self._first_token = 0.0

    def asked(self, now: float) -> None:
        """A request came at `now`, in seconds of any clock."""
        if self._asked is not None and now - self._asked < PAUSE_SECONDS:
            self._interval += NEWEST * (now - self._asked - self._interval)
        self._asked = now

    def began(self, seconds: float) -> None:
        """The model took so long for its first token."""
        self._first_token += (NEWEST if self._first_token else 1.0) * (seconds - self._first_token)

    def seconds(self, wish: Literal["auto"] | int) -> float:
        """How long to wait: as many milliseconds as are wished, or as suits typing."""
        if wish != "auto":
            return wish / 1000
        if self._first_token <= self._interval:
            return 0.0
        return min(self._interval, self._first_token / 2, MOST_SECONDS)
