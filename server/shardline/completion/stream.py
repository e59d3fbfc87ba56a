"""Running suggestions that requests join and leave."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from shardline.completion import Suggestion
from shardline.completion.position import Position, agrees, rest
from shardline.completion.writer import Writer

LINGER_SECONDS = 0.03
"""Keep generating this long after the last waiter leaves; the next keystroke may want the result."""

JOIN_SECONDS = 0.25
"""Keep generating this long after a key that agrees; its request may follow."""


class Stream:
    """A running task that makes `count` suggestions for `made_for`.

    `work` receives a callback that `writer` calls whenever its text grows. The stream ends itself as soon as its text
    disagrees with what was typed since. Without waiters it lingers for a moment, unless it is `kept`.
    """

    def __init__(
        self,
        made_for: Position,
        count: int,
        writer: Writer,
        work: Callable[[Callable[[], None]], Coroutine[Any, Any, list[Suggestion]]],
        *,
        kept: bool = False,
    ) -> None:
        self.made_for = self._now = made_for
        self.count = count
        self._kept = kept
        self._next_line: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # done at each line feed
        self._began = asyncio.get_running_loop().time()
        self._line_feeds = 0
        self._waiters = 0
        self._joined = float("-inf")
        self._lingering: asyncio.TimerHandle | None = None
        self._writer = writer
        self.task = asyncio.create_task(work(self._grow))
        self.task.add_done_callback(_retrieve_exception)

    @property
    def lines(self) -> Suggestion | None:
        """The complete lines so far, at `made_for`."""
        return self._writer.ready

    def ready_at(self, now: Position) -> Suggestion | None:
        """Return the complete lines so far that are left at `now`, or None."""
        lines = self.lines
        left = rest(lines, self.made_for, now) if lines else None
        return left if left and left.text else None

    def leads_to(self, now: Position, count: int) -> bool:
        """Return whether the text so far agrees with `count` suggestions at `now`."""
        if self.task.done() or count != self.count:
            return False
        return now == self._now or (count == 1 and agrees(self._writer.text, self.made_for, now))

    def join(self, now: Position) -> None:
        """Follow the user to `now`; a request for it may come soon."""
        if now != self._now:
            self._now = now
            self._joined = asyncio.get_running_loop().time()
            if not self._waiters:
                self._linger()

    async def wait(self, now: Position, over: "asyncio.Future[None]", budget: float | None) -> Suggestion | None:
        """Wait for the end of the task or for `over`.

        Return the complete lines at `now` if the stream runs longer than `budget` seconds. Without any, wait for one.
        """
        self._waiters += 1
        if self._lingering:
            self._lingering.cancel()
        try:
            seconds = None if budget is None else max(0.0, self._began + budget - asyncio.get_running_loop().time())
            if await _first_done(self.task, over, seconds=seconds):
                return None
            while not (ready := self.ready_at(now)):
                line = self._next_line
                if await _first_done(self.task, over, line) is not line:
                    return None
            self._kept = True
            return ready
        finally:
            self._waiters -= 1
            if not self._waiters:
                self._linger()

    def end(self) -> None:
        """Cancel the task."""
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
        if self._now != self.made_for and not agrees(text, self.made_for, self._now):
            self.end()
        elif text.count("\n") > self._line_feeds:
            self._line_feeds = text.count("\n")
            self._next_line.set_result(None)
            self._next_line = asyncio.get_running_loop().create_future()


def _retrieve_exception(task: "asyncio.Task[Any]") -> None:
    """Mark the exception as retrieved: asyncio would log it if nobody waited."""
    if not task.cancelled():
        task.exception()


async def _first_done(*waited: "asyncio.Future[Any]", seconds: float | None = None) -> "asyncio.Future[Any] | None":
    """Return the first of these, in their order, once any is done; None after `seconds`."""
    await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return next((future for future in waited if future.done()), None)
