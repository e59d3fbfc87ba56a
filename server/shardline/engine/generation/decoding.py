"""Prefill and speculative decoding, written once for every model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.prompt_lookup import Draft
from shardline.engine.generation.steps import Read, Steps
from shardline.engine.plan import PREFILL_STEP

SHORT_PREFILL_STEP = 64
"""A prefill step while other texts decode: a little slower, but they wait a quarter as long."""


@dataclass(frozen=True)
class Sampled:
    """A token sampled from `logits`, shape (vocabulary,), and its log-probability."""

    token: int
    logprob: float
    logits: Tensor


def prefill(ids: Sequence[int], *, step: int = PREFILL_STEP) -> Steps[Tensor]:
    """Run `ids`, `step` at a time; returns the logits, shape (vocabulary,), of the token that follows them."""
    for start in range(0, len(ids), step):
        logits = yield Read(ids[start : start + step])
    return logits


def decode(
    cache: KVCache[Any],
    logits: Tensor,
    sampler: Callable[[Tensor], tuple[int, float]],
    make_draft: Callable[[], Draft],
    accept: Callable[[Sampled], bool],
    *,
    max_tokens: int,
    is_alone: Callable[[], bool] = lambda: True,
) -> Steps[None]:
    """Decode up to `max_tokens` tokens: draft, verify, accept, until `accept` returns False.

    One pass of the model verifies a whole draft. A guess counts only if the sampler chooses it, so the tokens are the
    same with and without drafts. `make_draft` is called after the first token. Nothing is drafted while other texts
    share the pass: guesses would take their room.
    """
    sampled = Sampled(*sampler(logits), logits)
    if not accept(sampled):
        return
    left = max_tokens - 1
    draft = make_draft()
    while left:
        drafting = is_alone()
        guesses: list[int] = []
        if drafting:
            guesses = draft.guess_after(sampled.token)[: left - 1]
        else:
            draft.add(sampled.token)
        rows = yield Read([sampled.token, *guesses], every=True)
        verified = list(_verify(guesses, rows, sampler))
        right = len(verified) - 1
        for token in guesses[:right]:
            draft.add(token)
        if drafting:
            draft.learn(len(guesses), right)
        cache.truncate(len(cache.ids) - len(guesses) + right)
        for sampled in verified:
            if not accept(sampled):
                return
        left -= len(verified)


def _verify(
    guesses: Sequence[int], rows: Sequence[Tensor] | Tensor, sampler: Callable[[Tensor], tuple[int, float]]
) -> Iterator[Sampled]:
    """Yield the guesses that the sampler chooses too, and the token that it chooses behind them."""
    for guess, row in zip([*guesses, None], rows, strict=True):
        token, logprob = sampler(row)
        yield Sampled(token, logprob, row)
        if token != guess:
            return
