"""The loop: read the prompt, then choose one token after another. Written once, for every model."""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from torch import Tensor

from shardline.engine import Chunk, FinishReason, Request, Usage
from shardline.engine.kv_cache import KVCache
from shardline.engine.sampling import Sampler
from shardline.engine.stopping import StopSequences

PREFILL_STEP = 256
"""Prompt tokens read at once: long enough to be efficient, short enough to be cancelled between two steps."""

DECODE_CONTEXT = 8
"""Prompt tokens shown to the streaming decoder, so that it knows which spaces belong to the text."""


class Cancelled(Exception):  # noqa: N818  not an error: nobody waits for the answer any more
    """The request was cancelled between two steps; what was read until then stays in the cache."""


def generate(
    request: Request,
    prompt: Sequence[int],
    *,
    max_tokens: int,
    cache: KVCache[Any],
    tokenizer: Tokenizer,
    end_ids: Collection[int],
    cancelled: threading.Event,
) -> Iterator[Chunk]:
    """Complete `prompt`, the token ids of `request`, with at most `max_tokens` (one or more).

    Raises `Cancelled` soon after the event is set.
    """
    began = time.perf_counter()
    rest = cache.reuse(prompt)
    cached = len(prompt) - len(rest)
    logits = prefill(cache, rest, cancelled)
    sampler = Sampler(temperature=request.temperature, top_k=request.top_k, top_p=request.top_p, seed=request.seed)
    text = DecodeStream(ids=list(prompt[-DECODE_CONTEXT:]), skip_special_tokens=False)
    stop = StopSequences(request.stop)
    count, first = 0, 0.0

    def usage() -> Usage:
        return Usage(
            prompt_tokens=len(prompt),
            cached_tokens=cached,
            completion_tokens=count,
            time_to_first_token=first,
            total_time=time.perf_counter() - began,
        )

    reason = FinishReason.STOP
    for token in decode(cache, logits, sampler, cancelled):
        count += 1
        first = first or time.perf_counter() - began
        if token in end_ids:
            break
        if piece := stop.feed(text.step(tokenizer, token) or ""):
            yield Chunk(text=piece, usage=usage())
        if stop.stopped:
            break
        if count >= max_tokens:
            reason = FinishReason.LENGTH
            break
    yield Chunk(text=stop.flush(), usage=usage(), finish_reason=reason)


def prefill(cache: KVCache[Any], ids: Sequence[int], cancelled: threading.Event) -> Tensor:
    """Read `ids` in steps; returns the logits, shape (vocabulary,), of the token that follows them."""
    for at in range(0, len(ids), PREFILL_STEP):
        _check(cancelled)
        logits = cache.extend(ids[at : at + PREFILL_STEP])
    return logits


def decode(cache: KVCache[Any], logits: Tensor, sampler: Sampler, cancelled: threading.Event) -> Iterator[int]:
    """Choose a token, hand it out, read it, and again: for as long as tokens are asked for."""
    while True:
        _check(cancelled)
        token = sampler(logits)
        yield token
        logits = cache.extend([token])


def _check(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise Cancelled
