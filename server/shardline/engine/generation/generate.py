"""The loop: read the prompt, then choose one token after another. Written once, for every model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never

from tokenizers.decoders import DecodeStream
from torch import Tensor

from shardline.engine import Chunk, FinishReason, Request, Token, Usage, window
from shardline.engine.generation.healing import HealingSampler
from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.prompt_lookup import Draft, FirstOf, PromptLookup
from shardline.engine.generation.sampling import Sampler
from shardline.engine.generation.steps import Read, Steps
from shardline.engine.plan import PREFILL_STEP
from shardline.engine.tokenization.stop_sequences import StopSequences

if TYPE_CHECKING:
    from shardline.engine.tokenization.prompt import Prompt
    from shardline.engine.tokenization.tokenizer import Codec


SHORT_STEP = 64
"""As many where others may be waiting for their next token: a little slower, but they wait a quarter as long."""

DECODE_CONTEXT = 8
"""Prompt tokens shown to the streaming decoder, so that it knows which spaces belong to the text."""


@dataclass(frozen=True)
class Choice:
    """A token that was chosen from `logits`, shape (vocabulary,), and the logarithm of its probability."""

    token: int
    logprob: float
    logits: Tensor


def generate(
    request: Request,
    prompt: "Prompt",
    rest: Sequence[int],
    *,
    max_tokens: int,
    cache: KVCache[Any],
    codec: "Codec",
    draft: Draft | None = None,
    alone: Callable[[], bool] = lambda: True,
) -> Steps[Chunk, None]:
    """Complete `prompt`, made of `request`, with at most `max_tokens` (one or more); `cache` lacks `rest` of it.

    `draft` follows the prompt, and is heard where what was written before does not tell what comes next. `alone` tells
    whether nobody waits for others' tokens meanwhile; else nothing is drafted, and the prompt is read in short steps.
    """
    began = time.perf_counter()
    read = cached = len(prompt.ids) - len(rest)
    sampler = HealingSampler(
        Sampler(
            temperature=request.temperature,
            top_k=request.top_k,
            min_p=request.min_p,
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
    told: list[Token] = []

    def usage() -> Usage:
        return Usage(
            prompt_tokens=read,
            cached_tokens=cached,
            completion_tokens=count,
            time_to_first_token=first,
            total_time=time.perf_counter() - began,
        )

    def chunk(text: str, finish_reason: FinishReason | None = None) -> Chunk:
        tokens = tuple(told)
        told.clear()
        return Chunk(text=text, usage=usage(), logprob=total, tokens=tokens, finish_reason=finish_reason)

    while rest:
        piece = rest[: PREFILL_STEP if alone() else SHORT_STEP]
        rest = rest[len(piece) :]
        read += len(piece)
        yield chunk("")  # told before: a step that was begun is finished, cancelled or not
        logits = yield Read(piece)
    reason = FinishReason.STOP

    def make_draft() -> Draft:
        if not cache.can_forget:
            return PromptLookup([])
        suffix = next(window.beginnings(request.suffix, prompt.budget))
        lookup = PromptLookup([*codec.encode_inner(suffix), *prompt.ids])
        return FirstOf(lookup, draft) if draft else lookup

    choices = decode(cache, logits, sampler, make_draft, max_tokens=max_tokens, alone=alone)
    step: Read | Choice = next(choices)
    while True:
        if isinstance(step, Read):
            step = choices.send((yield step))
            continue
        count += 1
        total += step.logprob
        first = first or time.perf_counter() - began
        if step.token in codec.signals:
            break
        if request.logprobs is not None:
            told.append(told_of(step, codec, most=request.logprobs))
        written = text.step(codec.tokenizer, step.token) or ""
        new, to_repeat = written[to_repeat:], max(0, to_repeat - len(written))  # the rest stands in the document
        if safe := stop.feed(new):
            yield chunk(safe)
        if stop.stopped:
            break
        if count >= max_tokens:
            reason = FinishReason.LENGTH
            break
        step = next(choices)
    yield chunk(stop.flush(), reason)


def prefill(ids: Sequence[int], *, step: int = PREFILL_STEP) -> Steps[Never, Tensor]:
    """Read `ids`, `step` at a time; returns the logits, shape (vocabulary,), of the token that follows them."""
    for at in range(0, len(ids), step):
        logits = yield Read(ids[at : at + step])
    return logits


def decode(
    cache: KVCache[Any],
    logits: Tensor,
    sampler: Callable[[Tensor], tuple[int, float]],
    make_draft: Callable[[], Draft],
    *,
    max_tokens: int,
    alone: Callable[[], bool] = lambda: True,
) -> Steps[Choice, None]:
    """Choose a token, hand it out, read it, and again, at most `max_tokens` times.

    What the draft guesses is read with it in one pass. A guess counts only where it is what the sampler chooses, so
    the tokens are the same with and without. The draft is made when the first token is out, and is not heard where
    others' tokens are read in the same pass: guesses would take their room.
    """
    token, logprob = sampler(logits)
    yield Choice(token, logprob, logits)
    left = max_tokens - 1
    draft = make_draft()
    while left:
        drafting = alone()
        guesses: list[int] = []
        if drafting:
            guesses = draft.guess_after(token)[: left - 1]
        else:
            draft.add(token)
        rows = yield Read([token, *guesses], every=True)
        right = 0
        for guess, row in zip(guesses, rows, strict=False):  # the last row is that of the token after all guesses
            token, logprob = sampler(row)
            if token != guess:
                break
            yield Choice(token, logprob, row)
            draft.add(token)
            right += 1
        else:
            row = rows[-1]
            token, logprob = sampler(row)
        if drafting:
            draft.learn(len(guesses), right)
        cache.truncate(len(cache.ids) - len(guesses) + right)
        yield Choice(token, logprob, row)
        left -= right + 1


def told_of(choice: Choice, codec: "Codec", *, most: int) -> Token:
    """What is told of a token, with the `most` likeliest in its place."""
    likeliest = choice.logits.float().log_softmax(-1).topk(most)
    top = zip(map(codec.spell, likeliest.indices.tolist()), likeliest.values.tolist(), strict=True)
    return Token(codec.spell(choice.token), choice.logprob, tuple(top))
