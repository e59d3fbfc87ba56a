"""A model on this machine that completes while the server is away."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from shardline.engine import Chunk, Engine, Report, Request
from shardline.errors import AwayError, EngineError, NoRoomError, ShardlineError

RETRY_SECONDS = 3.0
"""How soon a server that is away is asked again."""

log = logging.getLogger(__name__)


class FallbackEngine:
    """Has `remote` complete. While that is away an engine does that `open_local` makes, and that stays loaded."""

    def __init__(self, remote: Engine, open_local: Callable[[], Engine]) -> None:
        self._remote = remote
        self._open_local = open_local
        self._local: Engine | None = None
        self._active = remote
        self._standing_in: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._loading = asyncio.Lock()
        self._lost: asyncio.Future[ShardlineError] = asyncio.get_running_loop().create_future()

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:
        """Find the server, or load the model that stands in for it; raises `EngineError`, `AwayError` for both."""
        self._lost = asyncio.get_running_loop().create_future()
        try:
            await self._remote.load(report, beside=beside)
        except AwayError as error:
            try:
                await self._load_local(error, report, beside)
            except NoRoomError:
                raise
            except EngineError as problem:
                raise AwayError(f"{error} {problem}") from problem
            self._standing_in = asyncio.create_task(self._wait_for_remote())

    async def wait_lost(self) -> ShardlineError:
        """Wait until the stand-in is lost while it completes; where the server is away the other answers."""
        return await asyncio.shield(self._lost)

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream what follows the prefix; raises `EngineError`, and `AwayError` until the stand-in is loaded."""
        try:
            async with aclosing(self._active.complete(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except AwayError as error:
            if self._standing_in is None:
                self._standing_in = asyncio.create_task(self._stand_in(error))
            raise

    async def warm(self, request: Request) -> None:
        """Let whichever answers read ahead."""
        await self._active.warm(request)

    def forget(self, document: str) -> None:
        """Free what is kept for a document that was closed."""
        self._active.forget(document)

    @property
    def infills(self) -> bool:
        """Whether whichever answers can be shown what follows the cursor."""
        return self._active.infills

    @property
    def placement(self) -> Mapping[str, Any]:
        """That of whichever answers."""
        return self._active.placement

    def close(self) -> None:
        """End all work of both."""
        for task in (self._standing_in, self._watching):
            if task:
                task.cancel()
        self._remote.close()
        if self._local:
            self._local.close()

    async def wait_closed(self) -> None:
        """Wait until both have ended."""
        await self._remote.wait_closed()
        if self._local:
            await self._local.wait_closed()

    async def _stand_in(self, error: AwayError) -> None:
        """Let the model on this machine complete until the server is back."""
        try:
            await self._load_local(error, lambda _: None, None)
        except EngineError as problem:
            log.warning("Nothing stands in for the server. %s", problem)
        await self._wait_for_remote()

    async def _load_local(self, error: AwayError, report: Report, beside: Engine | None) -> None:
        log.warning("%s Until it is back, a model on this machine completes.", error)
        async with self._loading:  # a request may want it while it is loaded again
            if self._local is None or not self._local.placement:
                self._local = self._local or self._open_local()
                await self._local.load(report, beside=beside)
                self._watching = asyncio.create_task(self._watch(self._local))
            self._active = self._local

    async def _watch(self, local: Engine) -> None:
        """Let the stand-in go when it is lost; where it was stopped on purpose, the server is still waited for."""
        error = await local.wait_lost()
        local.close()  # for those who wait for it
        was_active = self._active is local
        self._local, self._active = None, self._remote
        if was_active and isinstance(error, AwayError) and self._standing_in:
            self._standing_in.cancel()
            self._standing_in = None
            self._lost.set_result(error)

    async def _wait_for_remote(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            with suppress(EngineError):
                await self._remote.load(lambda _: None)
                break
        self._active, self._standing_in = self._remote, None
