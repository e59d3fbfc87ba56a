"""Pauses before something is tried again that failed."""

import asyncio

SHORTEST, LONGEST = 0.5, 60.0
"""The first pause, in seconds, and the longest."""

WELL_SECONDS = 3.0
"""How long all must have been well for the next pause to be the first one again."""


class Patience:
    """Pauses that are each twice as long as the one before, until all has been well for a while."""

    def __init__(self) -> None:
        self._pause = SHORTEST
        self._well_since = float("inf")

    def rest(self) -> None:
        """All is well now."""
        self._well_since = asyncio.get_running_loop().time()

    async def wait(self) -> None:
        """Wait until the next try."""
        if asyncio.get_running_loop().time() - self._well_since > WELL_SECONDS:
            self._pause = SHORTEST
        self._well_since = float("inf")
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST)
        await asyncio.sleep(pause)
