"""Measurements of one engine or peer on the same token ids."""

import math
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import psutil
import torch
from torch import Tensor
from torch.nn import functional

from shardline.engine import Request
from shardline.engine.checkpoints import checkpoint
from shardline.engine.generation.decoding import Sampled, decode, prefill
from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.prompt_lookup import Draft, PromptLookup
from shardline.engine.generation.sampling import Sampler
from shardline.engine.generation.steps import run
from shardline.engine.local.opener import open_runner
from shardline.engine.placement import planner
from shardline.engine.plan import PREFILL_STEP
from shardline.engine.tokenization.tokenizer import Codec
from shardline.settings import ModelSettings

LONG, SHORT, WRITTEN = 1000, 64, 64
"""Tokens of the long prompt, of the short one, and of what is written after the short one."""

BLOCK_BYTES = 2**29
REPEATING = (
    "".join(
        f"def test_{name}() -> None:\n    table = read('{name}.csv')\n"
        "    assert table.rows == 10\n    assert table.ok\n\n"
        for name in ("one", "two", "three", "four", "five")
    )
    + "def test_six() -> None:\n    table ="
)


class Subject(Protocol):
    """Something that runs a model."""

    bytes_per_token: int
    """The weights that are read for each token."""

    def forget(self) -> None:
        """Forget all that was read."""

    def read(self, ids: Sequence[int]) -> float:
        """Read a prompt as far as it is not known and choose a token; returns the seconds it took."""

    def write(self, ids: Sequence[int], count: int) -> float:
        """Read a prompt and write `count` tokens and one; returns the seconds from the first of them to the last."""

    def perplexity(self, ids: Sequence[int]) -> float | None:
        """Return the perplexity of a text, if it is known: e to the mean of the tokens' negative log-probabilities."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One value for each repeat: tokens per second, and milliseconds to the first token."""

    decode: list[float] = field(default_factory=list)
    prefill: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    first_token_reused: list[float] = field(default_factory=list)
    bytes_per_token: int = 0
    peak_bytes: int = 0
    """The most memory that the process had."""
    perplexity: float | None = None
    """Perplexity of the long prompt."""


def measure(subject: Subject, ids: Sequence[int], repeats: int) -> Figures:
    """Measure `subject` on `ids`, after one round that does not count."""
    figures = Figures(bytes_per_token=subject.bytes_per_token, peak_bytes=_peak_bytes())
    for turn in range(-1, repeats):
        subject.forget()
        cold = subject.read(ids[:-1])
        reused = subject.read(ids)
        subject.forget()
        writing = subject.write(ids[:SHORT], WRITTEN)
        if turn >= 0:
            figures.decode.append(WRITTEN / writing)
            figures.prefill.append((len(ids) - 1) / cold)
            figures.first_token.append(1000 * cold)
            figures.first_token_reused.append(1000 * reused)
    return replace(figures, perplexity=subject.perplexity(ids))


class Own:
    """This engine."""

    def __init__(self, settings: ModelSettings) -> None:
        self._runner = open_runner(settings, lambda _: None)
        if self._runner.compilation:
            self._runner.compilation.join()
        self.bytes_per_token = self._runner.model.bytes_per_token
        self.forget()

    def forget(self) -> None:
        """Forget all that was read."""
        self._cache = KVCache(self._runner.model)

    def read(self, ids: Sequence[int]) -> float:
        """Read a prompt as far as it is not known and choose a token; returns the seconds it took."""
        began = time.perf_counter()
        logits = run(prefill(self._cache.reuse(ids)), self._cache, threading.Event())
        Sampler()(logits)
        return time.perf_counter() - began

    def write(self, ids: Sequence[int], count: int) -> float:
        """Read a prompt and write `count` tokens and one; returns the seconds from the first of them to the last."""
        return self.write_with(PromptLookup([]), Sampler(), ids, count)[1]

    def perplexity(self, ids: Sequence[int]) -> float:
        """Return the perplexity of the text."""
        self.forget()
        rows = [self._cache.read(ids[at : at + PREFILL_STEP], every=True) for at in range(0, len(ids), PREFILL_STEP)]
        return perplexity(torch.cat(rows), ids)

    def write_with(self, draft: Draft, sampler: Sampler, ids: Sequence[int], count: int) -> tuple[list[int], float]:
        """Return the tokens, and the seconds from the first to the last."""
        never = threading.Event()
        logits = run(prefill(self._cache.reuse(ids)), self._cache, never)
        self._cache.prepare()  # as after a first answer
        tokens: list[int] = []
        times: list[float] = []

        def accept(sampled: Sampled) -> bool:
            tokens.append(sampled.token)
            times.append(time.perf_counter())
            return True

        run(decode(self._cache, logits, sampler, lambda: draft, accept, max_tokens=count + 1), self._cache, never)
        return tokens, times[-1] - times[0]

    def gain_of_drafts(self, ids: Sequence[int], *, temperature: float, repeats: int) -> list[float]:
        """Return the gain of drafts on text after `ids`, as a factor for each repeat."""
        gains = []
        ids = ids[-(self._runner.context_tokens - 2 * WRITTEN - 1) :]
        for turn in range(-1, repeats):
            seconds = []
            for draft in (PromptLookup([]), PromptLookup(ids)):
                self.forget()
                sampler = Sampler(temperature=temperature, seed=max(0, turn))
                seconds.append(self.write_with(draft, sampler, ids, 2 * WRITTEN)[1])
            if turn >= 0:
                gains.append(seconds[0] / seconds[1])
        return gains


def perplexity(logits: Tensor, ids: Sequence[int]) -> float:
    """Return the perplexity of a text from the `logits`, shape (n, vocabulary), that follow each of its tokens."""
    return math.exp(functional.cross_entropy(logits[:-1].float().cpu(), torch.tensor(ids[1:])))


def frozen_code() -> str:
    """Return 10,000 characters of real code, frozen in a file, so that figures of two commits can be compared."""
    return (files("shardline.measure.speed") / "code.txt").read_text(encoding="utf-8")


def tokens(settings: ModelSettings) -> tuple[list[int], list[int]]:
    """Return the token ids of real code, and of code that repeats itself.

    The first are as many as the long prompt has, and one, or as many as the context has room for.
    """
    source = checkpoint.find(settings, lambda _: None, weights=False)
    codec = Codec.of(source)
    room = planner.context_tokens(settings, source) - 2
    return codec.encode(frozen_code()).ids[: min(LONG + 1, room)], codec.encode(REPEATING).ids


def first_token(settings: ModelSettings) -> None:
    """Open the model and choose one token."""
    runner = open_runner(settings, lambda _: None)
    request = Request(document="", prefix="def main():\n    ", max_tokens=1)
    for _ in runner.complete(request, threading.Event()):
        pass


def device_name() -> str:
    """Return the name of what computes here."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def bandwidth() -> float:
    """Return the memory bandwidth for reading, in bytes per second: the best of several runs."""
    block = torch.ones(BLOCK_BYTES // 4, device="cuda" if torch.cuda.is_available() else "cpu")
    wait: Callable[[], None] = torch.cuda.synchronize if block.is_cuda else lambda: None
    best = 0.0
    for _ in range(8):
        wait()
        began = time.perf_counter()
        block.sum()
        wait()
        best = max(best, BLOCK_BYTES / (time.perf_counter() - began))
    return best


def _peak_bytes() -> int:
    """Return the most memory this process has had, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # which only Unix has

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
