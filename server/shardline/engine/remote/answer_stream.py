"""Stream of a remote answer, cut at stop sequences."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from shardline.engine import Chunk, FinishReason, Request, Usage
from shardline.engine.remote.dialect import Dialect, Piece, Question
from shardline.engine.remote.http_client import Connection
from shardline.engine.tokenization.stop_sequences import StopSequences
from shardline.errors import EngineError, GenerationError

END_SECONDS = 1.0
"""Timeout for the end of a stream after its last token, which lets the connection be reused."""

CHARACTERS_PER_TOKEN = 64
"""Limit on the average token; a server that exceeds it ignores `max_tokens`."""

MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Exceptions from reading a malformed answer."""


class GrammarIgnored(Exception):  # noqa: N818  no error: the request is sent again without healing
    """The server ignored the grammar, so that its answer is useless; no chunk was yielded."""


async def answer(
    connection: Connection, dialect: Dialect, question: Question, request: Request
) -> AsyncGenerator[Chunk, None]:
    """Stream the answer to `question`, made from `request`; raises `EngineError` and `GrammarIgnored`."""
    began = time.perf_counter()
    stop, to_repeat = StopSequences(request.stop), question.removed
    tokens, length, logprob, first = 0, 0, 0.0, 0.0
    read, cached = question.prompt_tokens, 0
    reason: FinishReason | None = None

    def usage() -> Usage:
        return Usage(
            prompt_tokens=read,
            cached_tokens=min(cached, read),
            completion_tokens=tokens,
            time_to_first_token=first,
            total_time=time.perf_counter() - began,
        )

    async with aclosing(connection.events(question.path, question.body)) as messages:
        async for message in messages:
            piece = _read(dialect, message, connection)
            read, cached = piece.prompt_tokens or read, piece.cached_tokens or cached
            first = first or time.perf_counter() - began
            tokens, length, logprob = tokens + piece.tokens, length + len(piece.text), logprob + piece.logprob
            again = min(len(to_repeat), len(piece.text))
            if piece.text[:again] != to_repeat[:again]:
                raise GrammarIgnored
            to_repeat = to_repeat[again:]
            if text := stop.feed(piece.text[again:]):
                yield Chunk(text=text, usage=usage(), logprob=logprob)
            if stop.stopped:
                reason = FinishReason.STOP
                break
            if tokens > request.max_tokens or length > CHARACTERS_PER_TOKEN * request.max_tokens:
                reason = FinishReason.LENGTH  # the server ignores `max_tokens`
                break
            if reason := piece.finish_reason:
                with suppress(TimeoutError, EngineError):
                    async with asyncio.timeout(END_SECONDS):
                        async for last in messages:  # the usage and the end, so that the connection can be reused
                            piece = _read(dialect, last, connection)
                            read, cached = piece.prompt_tokens or read, piece.cached_tokens or cached
                break
    if reason is None:
        raise GenerationError(f"The server at {connection.root} ended in the middle of an answer.")
    yield Chunk(text=stop.flush(), usage=usage(), logprob=logprob, finish_reason=reason)


def no_completion(connection: Connection) -> GenerationError:
    """Return the error for an answer that cannot be read."""
    return GenerationError(f"The answer of the server at {connection.root} is no completion; is remote.kind right?")


def _read(dialect: Dialect, message: Mapping[str, Any], connection: Connection) -> Piece:
    try:
        return dialect.piece(message)
    except MALFORMED as error:
        raise no_completion(connection) from error
