"""The suggestion that would follow the acceptance of the shown one."""

import asyncio
from collections.abc import Callable

from shardline.completion.position import Position
from shardline.completion.stream import Stream

PAUSE_SECONDS = 0.2
"""Prefetching begins when a suggestion was shown this long: users who type on do not accept it."""


class Prefetch:
    """At most one suggestion made ahead of any request; a real request takes it over or ends it."""

    def __init__(self) -> None:
        self._document = ""
        self._position: Position | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._stream: Stream | None = None

    @property
    def is_running(self) -> bool:
        """Whether a suggestion is being made."""
        return self._stream is not None and not self._stream.task.done()

    def schedule(self, document: str, position: Position, begin: Callable[[], Stream]) -> None:
        """Call `begin` after the pause, unless the suggestion for `position` is scheduled or made already."""
        if (document, position) == (self._document, self._position):
            return
        self.stop()
        self._document, self._position = document, position

        def start() -> None:
            self._stream = begin()

        self._waiting = asyncio.get_running_loop().call_later(PAUSE_SECONDS, start)

    def take(self, document: str, position: Position, count: int) -> Stream | None:
        """Hand over the running stream if it leads to `position`; else stop it."""
        stream = self._stream
        if stream and document == self._document and stream.leads_to(position, count):
            self._stream = self._position = None
            return stream
        self.stop()
        return None

    def stop_for(self, document: str) -> None:
        """Stop if the prefetch is for `document`."""
        if document == self._document:
            self.stop()

    def stop(self) -> None:
        """Cancel what is scheduled or running."""
        if self._waiting:
            self._waiting.cancel()
        if self._stream:
            self._stream.end()
        self._stream = self._position = self._waiting = None
