"""How many requests are taken at once: some run, some wait, and the rest are asked to come again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shardline.http.error_responses import AGAIN, RequestError

RUNNING = 32
"""So many are the engine's at once, which decodes what it can of them together."""

WAITING = 96
"""So many more wait for their turn."""


class Admission:
    """Counts the requests that run and that wait for it, at most `most_running` and `most_waiting`."""

    def __init__(self, *, most_running: int = RUNNING, most_waiting: int = WAITING) -> None:
        self._turns = asyncio.Semaphore(most_running)
        self._most_waiting = most_waiting
        self.running = 0
        self.waiting = 0

    def check(self) -> None:
        """Raise `RequestError` where too many wait already."""
        if self._turns.locked() and self.waiting >= self._most_waiting:
            raise RequestError(
                "Too many requests are waiting already; send this one again in a moment.",
                status=429,
                code="rate_limit_exceeded",
                headers=AGAIN,
            )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, which lasts as long as the block; raises `RequestError` where too many wait already."""
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
