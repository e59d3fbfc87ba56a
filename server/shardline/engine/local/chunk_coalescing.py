"""Coalescing of small chunks before they cross threads."""

import math
import re
from dataclasses import replace

from shardline.engine import Chunk

COALESCE_SECONDS = 0.1
"""A chunk that follows another sooner waits for the next one: each hand-over costs the next step CPU time."""

LINE_START = re.compile(r"\s*\w*")
"""A line that does not show its first word yet."""


class Coalescing:
    """Merges chunks of one stream, but keeps none back where a suggestion may be shown or ended.

    That is where a line ends, and until the next line shows its first word. A kept chunk waits for the next chunk, not
    for a timer: chunks that come more than `seconds` apart all pass at once.
    """

    def __init__(self, seconds: float = COALESCE_SECONDS) -> None:
        self._seconds = seconds
        self._kept: Chunk | None = None
        self._last_sent = -math.inf
        self._line = ""
        self._decides = False
        self._goes_on = False
        self.may_end = False
        """Whether the last chunk sent may be all that is wanted: its first line has just ended, and more would come."""

    def add(self, chunk: Chunk, now: float) -> Chunk | None:
        """Take `chunk`, at `now` in seconds; returns the merged chunk to send, or None while it is kept."""
        kept = self._kept = _merged(self._kept, chunk) if self._kept else chunk
        _, newline, last = chunk.text.rpartition("\n")
        self._line = last if newline else self._line + last
        decided = bool(newline or self._decides)
        self._decides = decided and LINE_START.fullmatch(self._line) is not None
        self.may_end = decided and not (self._goes_on or chunk.finish_reason)
        self._goes_on |= decided and not self._decides
        due = decided or chunk.finish_reason or now - self._last_sent >= self._seconds
        if not due:
            return None
        self._kept, self._last_sent = None, now
        return kept


def _merged(kept: Chunk, chunk: Chunk) -> Chunk:
    return replace(chunk, text=kept.text + chunk.text, tokens=kept.tokens + chunk.tokens)
