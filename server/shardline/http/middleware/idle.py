"""Whether anybody is there who uses the engine, and for how long nobody was."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from shardline.http.middleware.auth import OPEN

WATCHING = OPEN | {"/metrics", "/engine/figures"}
"""Who asks only for these looks at the engine and does not use it."""


class Presence:
    """Counts who is there, and calls `on_absence` when for `patience` seconds nobody was; None waits for ever."""

    def __init__(self, patience: float | None, on_absence: Callable[[], None]) -> None:
        self._patience = patience
        self._on_absence = on_absence
        self._present = 0
        self._end: asyncio.TimerHandle | None = None

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Be there for as long as the block lasts."""
        self._present += 1
        if self._end:
            self._end.cancel()
        try:
            yield
        finally:
            self._present -= 1
            if self._patience is not None and not self._present:
                self._end = asyncio.get_running_loop().call_later(self._patience, self._on_absence)


class Noticed:
    """Counts a client as present from a request to the end of its answer."""

    def __init__(self, app: ASGIApp, *, presence: Presence) -> None:
        self._app = app
        self._presence = presence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer."""
        if scope["type"] != "http" or scope["path"] in WATCHING:
            await self._app(scope, receive, send)
        else:
            with self._presence.visit():
                await self._app(scope, receive, send)
