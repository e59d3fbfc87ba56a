"""Engine for all APIs, with admission control and metrics."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from shardline.engine import Chunk, Engine, Request, Usage
from shardline.engine.plan import Plan
from shardline.http.admission import Admission
from shardline.http.load_state import Loading
from shardline.http.metrics import Metrics


class AdmittedEngine:
    """The part of `engine` that clients may use.

    Raises `NotReadyError` until it is loaded, and `RequestError` if `admission` has too many requests.
    """

    def __init__(self, engine: Engine, loading: Loading, admission: Admission, metrics: Metrics) -> None:
        self._engine = engine
        self._loading = loading
        self._admission = admission
        self._metrics = metrics

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream the completion after waiting for a turn, and count its tokens."""
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
        """Prefill a prompt ahead; needs no turn, as completions interrupt it."""
        self._loading.check()
        await self._engine.warm(request)

    def forget(self, document: str) -> None:
        """Free the KV cache of a document."""
        self._engine.forget(document)

    @property
    def infills(self) -> bool:
        """Whether the model supports infilling."""
        return self._engine.infills

    @property
    def placement(self) -> Plan | None:
        """The plan of the model."""
        return self._engine.placement
