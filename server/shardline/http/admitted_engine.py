"""Engine behind admission: requests wait for their turn and are counted."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from shardline.engine import Chunk, Engine, Report, Request, Usage
from shardline.engine.plan import Plan
from shardline.errors import ShardlineError
from shardline.http.admission import Admission
from shardline.http.load_state import Loading
from shardline.http.metrics import Metrics


class ServedEngine:
    """Lets `engine` work once it is loaded, for as many at once as `admission` allows, and has `metrics` count it.

    What is asked before raises `NotReadyError`, and what is too much `RequestError`.
    """

    def __init__(self, engine: Engine, loading: Loading, admission: Admission, metrics: Metrics) -> None:
        self._engine = engine
        self._loading = loading
        self._admission = admission
        self._metrics = metrics

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:
        """Load the engine behind it."""
        await self._engine.load(report, beside=beside)

    async def wait_lost(self) -> ShardlineError:
        """Wait until the engine behind it is lost."""
        return await self._engine.wait_lost()

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream what the engine says when it is this request's turn."""
        self._loading.check()
        usage: Usage | None = None
        async with self._admission.turn():
            try:
                async with aclosing(self._engine.complete(request)) as chunks:
                    async for chunk in chunks:
                        before = usage.completion_tokens if usage else 0
                        usage = chunk.usage
                        self._metrics.generated(usage.completion_tokens - before)
                        yield chunk
            finally:
                if usage:
                    self._metrics.ended(usage)

    async def warm(self, request: Request) -> None:
        """Read a prompt ahead, which gives way to all that is asked and waits for no turn."""
        self._loading.check()
        await self._engine.warm(request)

    def forget(self, document: str) -> None:
        """Free what is kept for a document."""
        self._engine.forget(document)

    @property
    def infills(self) -> bool:
        """Whether the model can be shown what follows the cursor."""
        return self._engine.infills

    @property
    def placement(self) -> Plan | None:
        """Where the layers are."""
        return self._engine.placement

    def close(self) -> None:
        """End all work."""
        self._engine.close()

    async def wait_closed(self) -> None:
        """Wait until the memory is free."""
        await self._engine.wait_closed()
