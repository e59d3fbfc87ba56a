"""Admission control: some requests run, some wait, the rest are refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shardline.http.error_responses import RETRY, RequestError

MAX_RUNNING = 32
"""Requests given to the engine at once, which decodes them together as far as it can."""

MAX_WAITING = 96
"""Further requests that wait for their turn."""


class Admission:
    """Counts of the requests that run and that wait, with a limit on each."""

    def __init__(self, *, max_running: int = MAX_RUNNING, max_waiting: int = MAX_WAITING) -> None:
        self._turns = asyncio.Semaphore(max_running)
        self._max_waiting = max_waiting
        self.running = 0
        self.waiting = 0

    def check(self) -> None:
        """Raise `RequestError` if too many wait already."""
        if self._turns.locked() and self.waiting >= self._max_waiting:
            raise RequestError(
                "Too many requests are waiting already; send this one again in a moment.",
                status=429,
                code="rate_limit_exceeded",
                headers=RETRY,
            )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, which lasts as long as the block; raises `RequestError` if too many wait already."""
        self.check()
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._turns.release()
