"""Prefetch of the suggestion that would follow the shown one."""

import asyncio
from collections.abc import Callable

from shardline.completion.position import Place
from shardline.completion.stream import Stream

PAUSE_SECONDS = 0.2
"""So long a suggestion must have been shown, for who types on does not accept it."""


class Ahead:
    """Makes one suggestion ahead, never more, until something is really asked for."""

    def __init__(self) -> None:
        self._document = ""
        self._place: Place | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._stream: Stream | None = None

    @property
    def works(self) -> bool:
        """Whether one is being made."""
        return self._stream is not None and not self._stream.task.done()

    def prepare(self, document: str, place: Place, begin: Callable[[], Stream]) -> None:
        """Have `begin` make the suggestion for `place` in a while, unless that is done or to be done already."""
        if (document, place) == (self._document, self._place):
            return
        self.stop()
        self._document, self._place = document, place

        def start() -> None:
            self._stream = begin()

        self._waiting = asyncio.get_running_loop().call_later(PAUSE_SECONDS, start)

    def take(self, document: str, place: Place, count: int) -> Stream | None:
        """Return the running stream if it leads to the requested position; else end it."""
        stream = self._stream
        if stream and document == self._document and stream.leads_to(place, count):
            self._stream = self._place = None
            return stream
        self.stop()
        return None

    def stop_for(self, document: str) -> None:
        """Stop the work for a document that was closed."""
        if document == self._document:
            self.stop()

    def stop(self) -> None:
        """End it."""
        if self._waiting:
            self._waiting.cancel()
        if self._stream:
            self._stream.end()
        self._stream = self._place = self._waiting = None
