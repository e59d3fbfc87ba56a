"""Pauses before something is tried again that failed."""

import asyncio

SHORTEST, LONGEST = 0.5, 60.0
"""The first pause, in seconds, and the longest."""


class Patience:
    """Pauses that are each twice as long as the one before, and short again when all went well for long enough."""

    def __init__(self) -> None:
        self._pause = SHORTEST
        self._tried = float("-inf")

    async def wait(self) -> None:
        """Wait until the next try."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._tried > LONGEST:
            self._pause = SHORTEST
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST)
        self._tried = loop.time()
