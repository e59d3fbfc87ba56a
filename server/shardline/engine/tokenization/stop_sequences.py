"""Stop sequences: a state machine over text."""

from collections.abc import Sequence


class StopSequences:
    """Feeds text through and ends it before the first stop sequence.

    Text that may still turn out to be the beginning of a stop sequence is held back until it is decided, so
    whatever `feed` has returned never has to be taken back.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Take more text and return what is safe to show; after `stopped` everything is dropped."""
        if self.stopped:
            return ""
        self._held += text
        ends = [at for at in (self._held.find(stop) for stop in self._stop) if at >= 0]
        if ends:
            self.stopped = True
            safe, self._held = self._held[: min(ends)], ""
            return safe
        keep = self._partial_match()
        cut = len(self._held) - keep
        safe, self._held = self._held[:cut], self._held[cut:]
        return safe

    def flush(self) -> str:
        """Return what was held back, when no more text will come."""
        held, self._held = self._held, ""
        return held

    def _partial_match(self) -> int:
        """Return the length of the longest tail of the held text that begins a stop sequence."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-length:]
            if any(stop.startswith(tail) for stop in self._stop):
                return length
        return 0
