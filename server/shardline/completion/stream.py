"""Suggestions in the making for one position, shared by all who wait."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from shardline.completion import Suggestion, position
from shardline.completion.position import Place
from shardline.completion.writer import Writer

LINGER_SECONDS = 0.03
"""How long a stream outlives its last reader, who may only make place for the next key's."""

JOIN_SECONDS = 0.25
"""How long after a key that agrees the request for it may come."""


class Stream:
    """Runs `work`, which has `writer` make suggestions for `made_for`, and calls what it is given when these grow.

    `now` is where one has typed to since: the stream ends itself as soon as its text says otherwise. Without readers it
    lingers for a moment, unless it is `kept`.
    """

    def __init__(
        self,
        made_for: Place,
        count: int,
        writer: Writer,
        work: Callable[[Callable[[], None]], Coroutine[Any, Any, list[Suggestion]]],
        *,
        kept: bool = False,
    ) -> None:
        self.made_for = self.now = made_for
        self.count = count
        self._kept = kept
        self._next_line: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when another line is complete."""
        self._began = asyncio.get_running_loop().time()
        self._line_feeds = 0
        self._readers = 0
        self._joined = float("-inf")
        self._lingering: asyncio.TimerHandle | None = None
        self._writer = writer
        self.task = asyncio.create_task(work(self._grow))
        self.task.add_done_callback(_forgive)

    @property
    def lines(self) -> Suggestion | None:
        """The complete lines so far, at `made_for`."""
        return self._writer.ready

    def ready_at(self, now: Place) -> Suggestion | None:
        """Return the complete lines that can be shown at `now`, if there are more than were typed."""
        lines = self.lines
        left = position.rest(lines, self.made_for, now) if lines else None
        return left if left and left.text else None

    def leads_to(self, now: Place, count: int) -> bool:
        """Whether it makes what is asked for at `now`, as far as is known."""
        if self.task.done() or count != self.count:
            return False
        return now == self.now or (count == 1 and position.agrees(self._writer.text, self.made_for, now))

    def join(self, now: Place) -> None:
        """One has typed on to `now`."""
        if now != self.now:
            self.now = now
            self._joined = asyncio.get_running_loop().time()
            if not self._readers:
                self._linger()

    async def wait(self, now: Place, over: "asyncio.Future[None]", budget: float | None) -> Suggestion | None:
        """Wait for its end or for `over`; return what is ready at `now` when no time is left before that."""
        self._readers += 1
        if self._lingering:
            self._lingering.cancel()
        try:
            seconds = None if budget is None else max(0.0, self._began + budget - asyncio.get_running_loop().time())
            if await _any_of(self.task, over, seconds=seconds):
                return None
            while not (ready := self.ready_at(now)):
                line = self._next_line
                if await _any_of(self.task, over, line) is not line:
                    return None
            self._kept = True
            return ready
        finally:
            self._readers -= 1
            if not self._readers:
                self._linger()

    def end(self) -> None:
        """Nobody wants it."""
        if self._lingering:
            self._lingering.cancel()
        self.task.cancel()

    def _linger(self) -> None:
        loop = asyncio.get_running_loop()
        if self._lingering:
            self._lingering.cancel()
        if not self._kept and not self.task.done():
            until = max(loop.time() + LINGER_SECONDS, self._joined + JOIN_SECONDS)
            self._lingering = loop.call_at(until, self.end)

    def _grow(self) -> None:
        text = self._writer.text
        if self.now != self.made_for and not position.agrees(text, self.made_for, self.now):
            self.end()
        elif text.count("\n") > self._line_feeds:
            self._line_feeds = text.count("\n")
            self._next_line.set_result(None)
            self._next_line = asyncio.get_running_loop().create_future()


def _forgive(task: "asyncio.Task[Any]") -> None:
    """Read the task's error, so that asyncio does not log it when nobody waits."""
    if not task.cancelled():
        task.exception()


async def _any_of(*waited: "asyncio.Future[Any]", seconds: float | None = None) -> "asyncio.Future[Any] | None":
    """Return the first of these futures, in their order, that is done; None after `seconds`."""
    await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return next((future for future in waited if future.done()), None)
