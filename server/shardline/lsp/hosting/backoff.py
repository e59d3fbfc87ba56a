"""Exponential backoff for reloading a lost engine."""

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 60.0
"""The shortest pause after the first retry, and the longest."""

HEALTHY_SECONDS = 3.0
"""An engine that ran this long is reloaded without a pause."""


class Backoff:
    """Pauses between retries: none before the first, then doubled each time, until the engine stays healthy."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._healthy_since = float("inf")

    def succeed(self, now: float) -> None:
        """Record that the engine is healthy from `now` on, in seconds of any clock."""
        self._healthy_since = now

    def fail(self, now: float) -> float:
        """Record that the engine was lost; return the seconds to wait before the next try."""
        if now - self._healthy_since >= HEALTHY_SECONDS:
            self._pause = 0.0
        self._healthy_since = float("inf")
        pause, self._pause = self._pause, min(max(MIN_PAUSE_SECONDS, 2 * self._pause), MAX_PAUSE_SECONDS)
        return pause
