"""Time limit of pop-ups: editors wait for the slowest server."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Unhurried:
    """Coroutines that finish even after the wait for them ended."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def wait(self, work: Coroutine[Any, Any, T], seconds: float) -> T | None:
        """Return the result of `work`, or None when it takes longer than `seconds`; then it goes on.

        Cancelling the caller before that cancels `work`.
        """
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        return task.result() if task.done() else None
