"""How fast a GPU decodes CodeLlama-7B's shape: `python -m tests.gpu.measure --json FILE`.

Needs torch, transformers, accelerate and the engine. Random weights in bfloat16 at batch 1, the same for all.
`--device cpu --layers 3` rehearses it with narrow layers, whose figures mean nothing.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from shardline.engine.generation.decoding import Sampled, decode, prefill
from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.prompt_lookup import PromptLookup
from shardline.engine.generation.sampling import Sampler
from shardline.engine.generation.steps import run
from shardline.setting_values import Device
from tests import codellama
from tests.gpu import random_model
from tests.gpu.dispatched import Dispatched

CAPACITY, PROMPT, WRITTEN = 2048, 64, 128
"""Tokens of the context, of the prompt, and of what is written after it."""

Rate = Callable[[], float]
"""Writes `WRITTEN` tokens and returns how many that was each second."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """How fast one way of decoding was: tokens per second in each repeat, and bytes of weights read for a token."""

    name: str
    rates: list[float]
    bytes_per_token: int

    @property
    def median(self) -> float:
        """The median of the rates."""
        return statistics.median(self.rates)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A ratio that was asked for, and what it is here."""

    name: str
    asked: float
    measured: float

    @property
    def holds(self) -> bool:
        """Whether it is at least what was asked."""
        return self.measured >= self.asked


class Bench:
    """Measures one case after another on one device, a single model in memory at a time."""

    def __init__(self, config: Mapping[str, Any], device: torch.device, repeats: int) -> None:
        self._config, self._device, self._repeats = config, device, repeats
        self.cases: dict[str, Case] = {}

    def own(self, name: str, stages: Sequence[Device], *, quantization: str = "none", graphs: bool = True) -> None:
        """Measure this engine."""
        model = random_model.load(
            self._config, self._device, stages=stages, quantization=quantization, capacity=CAPACITY
        )
        cache, never = KVCache(model), threading.Event()
        ids = list(range(3, 3 + PROMPT))

        def rate() -> float:
            logits = run(prefill(cache.reuse(ids)), cache, never)
            if graphs:
                cache.prepare()
            times: list[float] = []

            def accept(_: Sampled) -> bool:
                times.append(time.perf_counter())
                return True

            run(
                decode(cache, logits, Sampler(), lambda: PromptLookup([]), accept, max_tokens=WRITTEN + 1), cache, never
            )
            return WRITTEN / (times[-1] - times[0])

        self._measure(name, rate, model.bytes_per_token)

    def transformers(self, name: str) -> None:
        """Measure `generate` of transformers, dispatched by accelerate."""
        peer = Dispatched(self._config, self._device)
        self._measure(name, lambda: WRITTEN / (peer.seconds(PROMPT, WRITTEN + 1) - peer.seconds(PROMPT, 1)), 0)

    def ratio(self, one: str, other: str) -> float:
        """How many times as fast one case is as the other."""
        return self.cases[one].median / self.cases[other].median

    def _measure(self, name: str, rate: Rate, bytes_per_token: int) -> None:
        rate()  # warm up
        case = Case(name=name, rates=[rate() for _ in range(self._repeats)], bytes_per_token=bytes_per_token)
        self.cases[name] = case
        print(f"{name:32} {case.median:8.1f} tokens/s  ({min(case.rates):.1f} to {max(case.rates):.1f})", flush=True)


def bandwidth(device: torch.device, repeats: int) -> float:
    """How fast memory is read here, in bytes per second: the best of several times four reads of a large block."""
    block = torch.ones(2**30 if device.type == "cuda" else 2**26, device=device)
    backend = torch.get_device_module(device)
    best = 0.0
    for _ in range(repeats + 1):
        backend.synchronize()
        began = time.perf_counter()
        for _ in range(4):
            block.sum()
        backend.synchronize()
        best = max(best, 4 * block.nbytes / (time.perf_counter() - began))
    return best


def measure(config: Mapping[str, Any], device: torch.device, repeats: int) -> dict[str, Any]:
    """Measure all cases, print them, and return all figures."""
    one, other = ("cuda:0", "cuda") if device.type == "cuda" else ("cpu:0", "cpu")  # two names of one device
    limit = bandwidth(device, repeats)
    print(f"memory is read at {limit / 1e9:.0f} GB/s")
    bench = Bench(config, device, repeats)
    bench.own("bf16", [one])
    bench.own("bf16, eager", [one], graphs=False)
    bench.own("bf16, two stages", [one, other])
    bench.own("bf16, three stages", [one, other, one])
    bench.own("int8", [one], quantization="int8")
    bench.own("int4", [one], quantization="int4")
    bench.transformers("transformers, accelerate")
    whole = bench.cases["bf16"]
    claims = [
        Claim(name="share of the bandwidth", asked=0.85, measured=whole.median * whole.bytes_per_token / limit),
        Claim(name="two stages against one", asked=0.97, measured=bench.ratio("bf16, two stages", "bf16")),
        Claim(name="three stages against one", asked=0.97, measured=bench.ratio("bf16, three stages", "bf16")),
        Claim(name="against transformers", asked=5, measured=bench.ratio("bf16", "transformers, accelerate")),
        Claim(name="int8 against bf16", asked=1.6, measured=bench.ratio("int8", "bf16")),
        Claim(name="int4 against bf16", asked=2.2, measured=bench.ratio("int4", "bf16")),
        Claim(name="graphs against eager", asked=1, measured=bench.ratio("bf16", "bf16, eager")),
    ]
    for claim in claims:
        print(f"{claim.name:32} {claim.measured:8.2f}  asked {claim.asked}: {'yes' if claim.holds else 'NO'}")
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "config": dict(config),
        "bandwidth": limit,
        "cases": [{**asdict(case), "median": case.median} for case in bench.cases.values()],
        "claims": [{**asdict(claim), "holds": claim.holds} for claim in claims],
    }


def main() -> None:
    """Read the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:0 or cpu")
    parser.add_argument("--layers", type=int, default=32, help="how many layers the model has")
    parser.add_argument("--repeats", type=int, default=7, help="how often each case is measured")
    parser.add_argument("--json", type=Path, help="a file to write all figures to")
    flags = parser.parse_args()
    device = torch.device(flags.device)
    narrow = random_model.SMALL if device.type == "cpu" else {}
    config = {**codellama.CONFIG_7B, **narrow, "num_hidden_layers": flags.layers}
    figures = measure(config, device, flags.repeats)
    if flags.json:
        flags.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
