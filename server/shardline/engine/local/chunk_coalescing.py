"""Fewer and longer chunks: each that is told wakes another thread, which takes the cores from the next step."""

import math
import re
from dataclasses import replace

from shardline.engine import Chunk

GATHER_SECONDS = 0.1
"""What comes sooner after a chunk that was told is kept for the next one."""

BEGINNING = re.compile(r"\s*\w*")
"""A line that does not show yet what it is."""


class Gathering:
    """The same stream in fewer chunks, with nothing kept where a suggestion may be shown or ended.

    That is where a line ends, and until the next one shows its first word. What is kept waits for another chunk, not
    for a time: a model that is slower than `seconds` is told of at once.
    """

    def __init__(self, seconds: float = GATHER_SECONDS) -> None:
        self._seconds = seconds
        self._kept: Chunk | None = None
        self._told = -math.inf
        self._line = ""
        self._decides = False
        self._goes_on = False
        self.may_end = False
        """Whether what was told last may be all that is wanted: its first line has just ended, and more would come."""

    def add(self, chunk: Chunk, now: float) -> Chunk | None:
        """What is to be told when `chunk` comes, `now` on a clock in seconds; None where it is kept."""
        kept = self._kept = _joined(self._kept, chunk) if self._kept else chunk
        _, feed, last = chunk.text.rpartition("\n")
        self._line = last if feed else self._line + last
        decided = bool(feed or self._decides)
        self._decides = decided and BEGINNING.fullmatch(self._line) is not None
        self.may_end = decided and not (self._goes_on or chunk.finish_reason)
        self._goes_on |= decided and not self._decides
        due = decided or chunk.finish_reason or now - self._told >= self._seconds
        if not due:
            return None
        self._kept, self._told = None, now
        return kept


def _joined(kept: Chunk, chunk: Chunk) -> Chunk:
    return replace(chunk, text=kept.text + chunk.text, tokens=kept.tokens + chunk.tokens)
