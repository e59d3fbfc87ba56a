"""Model that continues texts from a table."""

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from shardline.engine.generation.decoding import Sampled, decode, prefill
from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.prompt_lookup import Draft
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
