"""CodeLlama-7B's shape, or one like it with fewer or narrower layers, filled with random weights."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from shardline.engine.models.llama.config import Shape, shape_of
from shardline.engine.models.llama.loader import Loader
from shardline.engine.models.llama.meta_modules import Outline
from shardline.engine.models.llama.model import LlamaModel
from shardline.engine.plan import Plan
from shardline.engine.weights.linear import Linear
from shardline.setting_values import Device

SMALL: Mapping[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
}
"""Changes that let a CPU rehearse it."""

SPREAD = 0.02


class RandomWeights:
    """Weights drawn on `device` when they are asked for: the same for the same name."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype = dtype
        self._device = device
        self.sizes = {name: weight.shape for name, weight in Outline(shape, dtype).named_parameters()}

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor; None where there is none of this name."""
        return self.sizes.get(name)

    def tensor(self, name: str) -> Tensor | None:
        """Return normally distributed numbers, or ones for norms; None where the shape has none of this name."""
        size = self.sizes.get(name)
        if size is None:
            return None
        if len(size) == 1:
            return torch.ones(size, dtype=self._dtype, device=self._device)
        noise = torch.Generator(self._device).manual_seed(zlib.crc32(name.encode()))
        return torch.empty(size, dtype=self._dtype, device=self._device).normal_(std=SPREAD, generator=noise)

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:  # noqa: ARG002  as all sources
        """None: these weights are not packed."""
        return None


def shape(config: Mapping[str, Any]) -> Shape:
    """Return the shape of `config`, which is of the Llama family."""
    found = shape_of(config)
    if found is None:
        raise ValueError("only models of the Llama family can be measured")
    return found


def load(
    config: Mapping[str, Any], device: torch.device, *, stages: Sequence[Device], quantization: str, capacity: int
) -> LlamaModel:
    """Return the lean decoder in bfloat16, its layers spread evenly over `stages`; a device may come twice."""
    made = shape(config)
    places: dict[str, Device] = {"": stages[0], "lm_head": stages[-1], "model.norm": stages[-1]}
    places |= {f"model.layers.{number}": stages[number * len(stages) // made.layers] for number in range(made.layers)}
    plan = Plan(model="random", dtype="bfloat16", device_map=places, devices=())
    weights = RandomWeights(made, torch.bfloat16, device)
    loader = Loader(made, plan, weights, quantization=quantization, capacity=capacity)
    return loader.load("random weights", lambda _: None)
