"""Scripted engine: a full peer of the others, for tests and measurements."""

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from shardline.engine import Chunk, Engine, FinishReason, Progress, Report, Request, Token, Usage, never_lost
from shardline.engine.plan import Plan
from shardline.errors import ShardlineError


class ScriptedEngine:
    """Answers each request with the text that `script` returns for it, a character a chunk.

    `before_chunk`, if given, is awaited before each chunk: a test can hold a stream open with it. `confidence` is
    the probability of each token, and `infills` whether the model sees the suffix.
    `requests` are those begun, `cancelled` those that ended early, `warmed` those whose prompts were read ahead,
    `forgotten` the documents that were closed, `closed` is whether `close` was called.
    """

    def __init__(
        self,
        script: Callable[[Request], str],
        before_chunk: Callable[[Request], Awaitable[None]] | None = None,
        *,
        infills: bool = True,
        confidence: float = 1.0,
    ) -> None:
        self._script = script
        self._infills = infills
        self._logprob = math.log(confidence)
        self._before_chunk = before_chunk
        self.requests: list[Request] = []
        self.cancelled: list[Request] = []
        self.warmed: list[Request] = []
        self.forgotten: list[str] = []
        self.closed = False

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:  # noqa: ARG002  as all
        """Is ready at once, beside any other."""
        report(Progress(activity="Loading"))

    async def wait_lost(self) -> ShardlineError:
        """Never: it is in this process."""
        return await never_lost()

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream the scripted text, cut at the request's stop sequences and `max_tokens` characters."""
        began = time.perf_counter()
        self.requests.append(request)
        text = self._script(request)
        ends = [text.index(stop) for stop in request.stop if stop in text]
        text = text[: min(ends, default=len(text))]
        reason = FinishReason.LENGTH if len(text) > request.max_tokens else FinishReason.STOP
        finished = False
        try:
            for count, character in enumerate(text[: request.max_tokens], 1):
                if self._before_chunk:
                    await self._before_chunk(request)
                yield Chunk(
                    text=character,
                    usage=_usage(request, count, began),
                    logprob=count * self._logprob,
                    tokens=self._tokens(request, character),
                )
            finished = True
        finally:
            if not finished:
                self.cancelled.append(request)
        count = min(len(text), request.max_tokens)
        usage = _usage(request, count, began)
        yield Chunk(text="", usage=usage, logprob=count * self._logprob, finish_reason=reason)

    def _tokens(self, request: Request, character: str) -> tuple[Token, ...]:
        """Each character is a token, and the likeliest."""
        if request.logprobs is None:
            return ()
        return (Token(character, self._logprob, ((character, self._logprob),)[: request.logprobs]),)

    async def warm(self, request: Request) -> None:
        """Remember whose prompt is to be read ahead."""
        self.warmed.append(request)

    def forget(self, document: str) -> None:
        """Remember which documents were forgotten."""
        self.forgotten.append(document)

    @property
    def infills(self) -> bool:
        """Whether the model sees the suffix."""
        return self._infills

    @property
    def placement(self) -> Plan | None:
        """None: nothing is placed anywhere."""
        return None

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    async def wait_closed(self) -> None:
        """Has nothing to free."""


def _usage(request: Request, count: int, began: float) -> Usage:
    spent = time.perf_counter() - began
    return Usage(
        prompt_tokens=len(request.prefix),
        cached_tokens=0,
        completion_tokens=count,
        time_to_first_token=spent / max(1, count),
        total_time=spent,
    )
