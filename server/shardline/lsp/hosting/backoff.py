"""Exponential backoff for reloading a lost engine.

It knows no clock.
"""

SHORTEST, LONGEST = 0.5, 60.0
"""The first pause that is one, in seconds, and the longest."""

WELL_SECONDS = 3.0
"""How long all must have been well before the next try needs no pause."""


class Patience:
    """The first try comes at once, and each after a pause twice as long, until all has been well for a while."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._well_since = float("inf")

    def rest(self, now: float) -> None:
        """All is well from now on, in seconds of any clock."""
        self._well_since = now

    def pause(self, now: float) -> float:
        """Return the seconds to wait after a loss at `now`."""
        if now - self._well_since >= WELL_SECONDS:
            self._pause = 0.0
        self._well_since = float("inf")
        pause, self._pause = self._pause, min(max(SHORTEST, 2 * self._pause), LONGEST)
        return pause
