"""Fallback from a remote server to a local model."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from shardline.engine import Chunk, Engine, Report, Request
from shardline.engine.plan import Plan
from shardline.errors import AwayError, EngineError, NoRoomError, ShardlineError

RETRY_SECONDS = 3.0
"""Interval between attempts to reach a server that is away."""

log = logging.getLogger(__name__)


class FallbackEngine:
    """The engine `remote`, and while it is away the one that `open_local` makes, which then stays loaded."""

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
        """Load `remote`, or the local engine if it is away; raises `EngineError`, `AwayError` if both fail."""
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
        """Wait until the local engine is lost while it is active; the loss of `remote` only makes it active."""
        return await asyncio.shield(self._lost)

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream the completion; raises `EngineError`, and `AwayError` until the local engine is loaded."""
        try:
            async with aclosing(self._active.complete(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except AwayError as error:
            if self._standing_in is None:
                self._standing_in = asyncio.create_task(self._stand_in(error))
            raise

    async def warm(self, request: Request) -> None:
        """Prefill ahead in the active engine."""
        await self._active.warm(request)

    def forget(self, document: str) -> None:
        """Free the KV cache of a closed document in the active engine."""
        self._active.forget(document)

    @property
    def infills(self) -> bool:
        """Whether the active engine supports infilling."""
        return self._active.infills

    @property
    def placement(self) -> Plan | None:
        """The placement of the active engine."""
        return self._active.placement

    def close(self) -> None:
        """Close both engines."""
        for task in (self._standing_in, self._watching):
            if task:
                task.cancel()
        self._remote.close()
        if self._local:
            self._local.close()

    async def wait_closed(self) -> None:
        """Wait until both engines have freed their memory."""
        await self._remote.wait_closed()
        if self._local:
            await self._local.wait_closed()

    async def _stand_in(self, error: AwayError) -> None:
        """Complete locally until `remote` is back."""
        try:
            await self._load_local(error, lambda _: None, None)
        except EngineError as problem:
            log.warning("No local model replaces the server. %s", problem)
        await self._wait_for_remote()

    async def _load_local(self, error: AwayError, report: Report, beside: Engine | None) -> None:
        log.warning("%s A model on this machine completes until it is back.", error)
        async with self._loading:  # a request and `load` may both want it
            if self._local is None or not self._local.placement:
                self._local = self._local or self._open_local()
                await self._local.load(report, beside=beside)
                self._watching = asyncio.create_task(self._watch(self._local))
            self._active = self._local

    async def _watch(self, local: Engine) -> None:
        """Drop the local engine when it is lost; after a deliberate stop, keep waiting for `remote`."""
        error = await local.wait_lost()
        local.close()  # ends the requests that wait for it
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
