"""Drafts change how fast tokens come and never which."""

import threading
from collections.abc import Callable, Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shardline.engine.generation.decoding import Sampled, decode, prefill
from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.prompt_lookup import GUESSES, MAX_PAUSE, Draft, PromptLookup
from shardline.engine.generation.sampling import Sampler
from shardline.engine.generation.steps import run as run_alone

WORDS = 12


class Echo:
    """A model whose next token depends on the last two: a whole peer that counts its passes."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.passes = 0

    bytes_per_token = 0

    class Memory:
        can_truncate = True

        def __init__(self) -> None:
            self.ids: list[int] = []

        def truncate(self, length: int) -> None:
            del self.ids[length:]

    def new_memory(self) -> "Echo.Memory":
        return Echo.Memory()

    def forward(self, ids: Sequence[int], memory: "Echo.Memory", *, every: bool = False) -> Tensor:
        self.passes += 1
        rows = []
        for token in ids:
            memory.ids.append(token)
            last, before = token, memory.ids[-2] if len(memory.ids) > 1 else 0
            rows.append(self.table[before, last])
        return torch.stack(rows) if every else rows[-1]

    def forward_batch(self, texts: Sequence[tuple[Sequence[int], "Echo.Memory"]]) -> Sequence[Tensor]:
        return [self.forward(ids, memory, every=True) for ids, memory in texts]

    def prepare(self, memory: "Echo.Memory") -> None:
        pass


def table(seed: int, sharpness: float) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    return sharpness * torch.randn(WORDS, WORDS, WORDS, generator=noise)


def run(model: Echo, prompt: list[int], draft: Draft, sampler: Callable[[Tensor], tuple[int, float]]) -> list[int]:
    cache = KVCache(model)
    never = threading.Event()
    logits = run_alone(prefill(prompt), cache, never)
    tokens: list[int] = []

    def accept(sampled: Sampled) -> bool:
        tokens.append(sampled.token)
        return True

    run_alone(decode(cache, logits, sampler, lambda: draft, accept, max_tokens=60), cache, never)
    assert cache.memory is not None
    assert cache.ids == cache.memory.ids  # the law of the cache, after every draft
    assert cache.ids[: len(prompt)] == prompt
    return tokens


@settings(deadline=None)
@given(st.integers(0, 500), st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=30), st.sampled_from([0.0, 1.0]))
def test_drafted_equals_undrafted(seed: int, prompt: list[int], temperature: float) -> None:
    plain, drafted = Echo(table(seed, 5.0)), Echo(table(seed, 5.0))
    expected = run(plain, prompt, PromptLookup([]), Sampler(temperature=temperature, seed=1))
    assert run(drafted, prompt, PromptLookup(prompt), Sampler(temperature=temperature, seed=1)) == expected
    assert len(expected) == 60
    assert drafted.passes <= plain.passes


def test_text_that_repeats_itself_takes_far_fewer_passes() -> None:
    plain, drafted = Echo(table(0, 5.0)), Echo(table(0, 5.0))
    prompt = run(plain, [1, 2], PromptLookup([]), Sampler())
    plain.passes = 0
    run(plain, prompt, PromptLookup([]), Sampler())
    run(drafted, prompt, PromptLookup(prompt), Sampler())
    assert drafted.passes < plain.passes / 3


def test_the_most_recent_match_is_guessed_and_the_longer_one_first() -> None:
    assert PromptLookup([1, 2, 3, 7, 7, 1, 2, 3, 8, 1, 2]).guess_after(3)[0] == 8
    assert PromptLookup([0, 1, 2, 3, 7, 9, 2, 3, 8, 0, 1, 2]).guess_after(3)[0] == 7
    assert PromptLookup([1, 2, 3]).guess_after(4) == []


def test_it_falls_silent_where_it_is_wrong() -> None:
    draft = PromptLookup([1, 2] * 20)
    assert len(draft.guess_after(1)) == GUESSES
    draft.add(2)
    asked, silent = 0, 0
    for _ in range(200):
        guesses = draft.guess_after(1)
        draft.add(2)
        draft.learn(len(guesses), 0)
        asked += bool(guesses)
        silent += not guesses
    assert silent > 10 * asked
    assert asked >= 200 // (MAX_PAUSE + 1)


def test_without_text_nothing_is_guessed() -> None:
    draft = PromptLookup([])
    assert [draft.guess_after(1) for _ in range(2)] == [[], []]
