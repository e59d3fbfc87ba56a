"""Idle timeout: the end of a server without clients."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from shardline.http.middleware.auth import OPEN

MONITORING = OPEN | {"/metrics", "/engine/figures"}
"""Paths whose requests do not count as use of the engine."""


class Presence:
    """A count of clients that calls `on_absence` after `patience` seconds without any; None waits for ever."""

    def __init__(self, patience: float | None, on_absence: Callable[[], None]) -> None:
        self._patience = patience
        self._on_absence = on_absence
        self._present = 0
        self._end: asyncio.TimerHandle | None = None

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Count as a client during the block."""
        self._present += 1
        if self._end:
            self._end.cancel()
        try:
            yield
        finally:
            self._present -= 1
            if self._patience is not None and not self._present:
                self._end = asyncio.get_running_loop().call_later(self._patience, self._on_absence)


class CountPresence:
    """Counts a client as present from its request to the end of the answer."""

    def __init__(self, app: ASGIApp, *, presence: Presence) -> None:
        self._app = app
        self._presence = presence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer."""
        if scope["type"] != "http" or scope["path"] in MONITORING:
            await self._app(scope, receive, send)
        else:
            with self._presence.visit():
                await self._app(scope, receive, send)
