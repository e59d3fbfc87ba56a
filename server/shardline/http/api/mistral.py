"""Mistral's fill-in-the-middle completions: https://docs.mistral.ai/api/#tag/fim."""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shardline.engine import Chunk, Request, Usage
from shardline.engine.window import crop
from shardline.http.admitted_engine import AdmittedEngine
from shardline.http.api import sse
from shardline.http.api.body import body_of, field, read, texts
from shardline.http.api.completion_request import MAX_STOPS, SEEDS
from shardline.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Body:
    """The supported fields; all others are ignored. The settings replace None."""

    prompt: str = field("")
    suffix: str = field("")
    max_tokens: int | None = field(None, minimum=1)
    temperature: float | None = field(None, minimum=0, maximum=2)
    top_p: float | None = field(None, minimum=0, maximum=1)
    random_seed: int | None = field(None, **SEEDS)
    stop: Any = field(None)
    stream: bool = field(False)


def routes(engine: AdmittedEngine, settings: Settings) -> list[Route]:
    """Return the route of `/v1/fim/completions` for an engine with these settings."""

    async def fill(request: HttpRequest) -> Response:
        asked = read(Body, await body_of(request))
        wanted = _request(asked, settings)
        head = {"id": secrets.token_hex(16), "created": int(time.time()), "model": settings.model.name}
        chunks = engine.complete(wanted)
        return await sse.answer(_stream(head, chunks)) if asked.stream else JSONResponse(await _whole(head, chunks))

    return [Route("/v1/fim/completions", fill, methods=["POST"])]


def _request(asked: Body, settings: Settings) -> Request:
    """Return the engine's request; raises `RequestError`."""
    given = settings.generation
    request = Request(
        document="",
        prefix=asked.prompt,
        suffix=asked.suffix,
        infilling=settings.completion.infilling,
        max_tokens=asked.max_tokens or given.max_tokens,
        temperature=given.temperature if asked.temperature is None else asked.temperature,
        top_p=given.top_p if asked.top_p is None else asked.top_p,
        top_k=given.top_k,
        seed=given.seed if asked.random_seed is None else asked.random_seed % 2**63,
        stop=given.stop if asked.stop is None else texts(asked.stop, "stop", max_texts=MAX_STOPS),
    )
    return crop(request, settings.model.context_tokens)


async def _whole(head: dict[str, Any], chunks: AsyncGenerator[Chunk, None]) -> dict[str, Any]:
    async with aclosing(chunks):
        all_chunks = [chunk async for chunk in chunks]
    message = {"role": "assistant", "content": "".join(chunk.text for chunk in all_chunks)}
    last = all_chunks[-1]
    choice = {"index": 0, "message": message, "finish_reason": last.finish_reason}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(last.usage)}


async def _stream(head: dict[str, Any], chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Any, None]:
    async with aclosing(chunks):
        async for chunk in chunks:
            delta = {"role": "assistant", "content": chunk.text}
            choice = {"index": 0, "delta": delta, "finish_reason": chunk.finish_reason}
            spent = {"usage": _usage(chunk.usage)} if chunk.finish_reason else {}
            yield {**head, "object": "chat.completion.chunk", "choices": [choice], **spent}
    yield sse.DONE


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
