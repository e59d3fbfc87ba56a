"""The loop: read the prompt, then choose one token after another. Written once, for every model."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tokenizers.decoders import DecodeStream
from torch import Tensor

from shardline.engine import Chunk, FinishReason, Request, Usage
from shardline.engine.draft import Draft, FirstOf, PromptLookup
from shardline.engine.healing import HealingSampler
from shardline.engine.kv_cache import KVCache
from shardline.engine.sampling import Sampler
from shardline.engine.stopping import StopSequences

if TYPE_CHECKING:
    from shardline.engine.codec import Codec
    from shardline.engine.prompt import Prompt

PREFILL_STEP = 256
"""Prompt tokens read at once: long enough to be efficient, short enough to be cancelled between two steps."""

WARMING_STEP = 64
"""As many where nobody waits: a little slower, but a request that comes waits a quarter as long."""

DECODE_CONTEXT = 8
"""Prompt tokens shown to the streaming decoder, so that it knows which spaces belong to the text."""


class Cancelled(Exception):  # noqa: N818  not an error: nobody waits for the answer any more
    """The request was cancelled between two steps; what was read until then stays in the cache."""


def generate(
    request: Request,
    prompt: "Prompt",
    *,
    max_tokens: int,
    cache: KVCache[Any],
    codec: "Codec",
    cancelled: threading.Event,
    draft: Draft | None = None,
) -> Iterator[Chunk]:
    """Complete `prompt`, made of `request`, with at most `max_tokens` (one or more).

    `draft` follows the prompt, and is heard where what was written before does not tell what comes next.
    Raises `Cancelled` soon after the event is set.
    """
    began = time.perf_counter()
    rest = cache.reuse(prompt.ids)
    read = cached = len(prompt.ids) - len(rest)
    sampler = HealingSampler(
        Sampler(
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            seed=request.seed,
            choice=request.choice,
        ),
        codec.vocabulary,
        prompt.removed,
    )
    text = DecodeStream(ids=prompt.ids[-DECODE_CONTEXT:], skip_special_tokens=False)
    stop = StopSequences(request.stop)
    count, first, total, to_repeat = 0, 0.0, 0.0, len(prompt.removed)

    def usage() -> Usage:
        return Usage(
            prompt_tokens=read,
            cached_tokens=cached,
            completion_tokens=count,
            time_to_first_token=first,
            total_time=time.perf_counter() - began,
        )

    for at in range(0, len(rest), PREFILL_STEP):
        step = rest[at : at + PREFILL_STEP]
        _check(cancelled)
        read += len(step)
        yield Chunk(text="", usage=usage())  # told before: a step that was begun is finished, cancelled or not
        logits = prefill(cache, step, cancelled)
    reason = FinishReason.STOP

    def make_draft() -> Draft:
        if not cache.can_forget:
            return PromptLookup([])
        lookup = PromptLookup([*codec.encode_inner(request.suffix), *prompt.ids])
        return FirstOf(lookup, draft) if draft else lookup

    for token, logprob in decode(cache, logits, sampler, make_draft, max_tokens=max_tokens, cancelled=cancelled):
        count += 1
        total += logprob
        first = first or time.perf_counter() - began
        if token in codec.signals:
            break
        written = text.step(codec.tokenizer, token) or ""
        new, to_repeat = written[to_repeat:], max(0, to_repeat - len(written))  # the rest stands in the document
        if piece := stop.feed(new):
            yield Chunk(text=piece, usage=usage(), logprob=total)
        if stop.stopped:
            break
        if count >= max_tokens:
            reason = FinishReason.LENGTH
            break
    yield Chunk(text=stop.flush(), usage=usage(), logprob=total, finish_reason=reason)


def prefill(cache: KVCache[Any], ids: Sequence[int], cancelled: threading.Event, *, step: int = PREFILL_STEP) -> Tensor:
    """Read `ids`, `step` at a time; returns the logits, shape (vocabulary,), of the token that follows them."""
    for at in range(0, len(ids), step):
        _check(cancelled)
        logits = cache.extend(ids[at : at + step])
    return logits


def decode(
    cache: KVCache[Any],
    logits: Tensor,
    sampler: Callable[[Tensor], tuple[int, float]],
    make_draft: Callable[[], Draft],
    *,
    max_tokens: int,
    cancelled: threading.Event,
) -> Iterator[tuple[int, float]]:
    """Choose a token, hand it out with its log-probability, read it, and again, at most `max_tokens` times.

    What the draft guesses is read with it in one pass. A guess counts only where it is what the sampler chooses, so
    the tokens are the same with and without. The draft is made when the first token is out.
    """
    _check(cancelled)
    token, logprob = sampler(logits)
    yield token, logprob
    left = max_tokens - 1
    draft = make_draft()
    while left:
        _check(cancelled)
        guesses = draft.guess_after(token)[: left - 1]
        rows = cache.read([token, *guesses])
        right = 0
        for guess, row in zip(guesses, rows, strict=False):  # the last row is that of the token after all guesses
            token, logprob = sampler(row)
            if token != guess:
                break
            yield token, logprob
            draft.add(token)
            right += 1
        else:
            token, logprob = sampler(rows[-1])
        draft.learn(len(guesses), right)
        cache.truncate(len(cache.ids) - len(guesses) + right)
        yield token, logprob
        left -= right + 1


def score(cache: KVCache[Any], ids: Sequence[int], count: int, cancelled: threading.Event) -> float:
    """The logarithm of the probability of the last `count` of `ids`, seen after the others, of which one is needed."""
    *before, last = cache.reuse(ids[:-count])
    if before:
        prefill(cache, before, cancelled)
    _check(cancelled)
    wanted = ids[-count:]
    logprobs = cache.read([last, *wanted])[:-1].log_softmax(-1)
    return sum(float(row[token]) for row, token in zip(logprobs, wanted, strict=True))


def _check(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise Cancelled
