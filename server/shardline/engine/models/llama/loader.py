"""The loader of a Llama, layer by layer.

Each layer goes straight to its device, and nothing is held twice.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from shardline.engine import Progress, Report
from shardline.engine.models.llama.config import Shape
from shardline.engine.models.llama.layer_streaming import Streamed
from shardline.engine.models.llama.meta_modules import sizes_of
from shardline.engine.models.llama.model import LlamaModel
from shardline.engine.models.llama.stage import Layer, Stage
from shardline.engine.models.load_errors import mismatch, missing, reading
from shardline.engine.plan import Plan, device_of, main_device, waiting_places
from shardline.engine.weights.bits import bits_of
from shardline.engine.weights.linear import Dense, Int4, Int8, Linear
from shardline.engine.weights.packed_file import Keeper, Weights, file_name, open_kept
from shardline.engine.weights.safetensors_source import SafetensorsWeights

if TYPE_CHECKING:
    from shardline.engine.checkpoints.checkpoint import Checkpoint

LAYER = "model.layers.{}"


class Loader:
    """A builder of one model's modules from `weights`, in the plan's dtype or packed by `quantization`."""

    def __init__(self, shape: Shape, plan: Plan, weights: Weights, *, quantization: str, capacity: int) -> None:
        self._shape = shape
        self._plan = plan
        self._weights = weights
        self._quantization = quantization
        self._capacity = capacity
        self._dtype: torch.dtype = getattr(torch, plan.dtype)
        self._sizes = sizes_of(shape)
        _check(weights, self._sizes)

    def load(self, name: str, report: Report) -> LlamaModel:
        """Read the whole model, called `name` in progress reports."""
        stages = []
        for (device, waits), numbers in groupby(range(self._shape.layers), key=self._layer_place):
            layers = (self._layer(number, device, name, report) for number in numbers)
            held = Streamed(layers, device) if waits else nn.ModuleList(layers)
            stages.append(Stage(self._shape, held, capacity=self._capacity, device=device, dtype=self._dtype))
        first, last = self._device("model.embed_tokens"), self._device("lm_head")
        embedding = self._table("model.embed_tokens", first)
        shared = self._shape.tied and last == first
        head = embedding if shared else self._table("model.embed_tokens" if self._shape.tied else "lm_head", last)
        return LlamaModel(
            self._shape,
            embedding=embedding,
            stages=stages,
            norm=self._tensor("model.norm.weight", last),
            head=head,
            capacity=self._capacity,
        )

    def _layer_place(self, number: int) -> tuple[torch.device, bool]:
        """Return where a layer computes, and whether it is offloaded to CPU memory."""
        places = self._plan.device_map
        main = main_device(places.values())
        waits = device_of(places, LAYER.format(number)) in waiting_places(main)
        return torch.device(main) if waits else self._device(LAYER.format(number)), waits

    def _layer(self, number: int, device: torch.device, name: str, report: Report) -> Layer:
        report(Progress(activity=f"Loading {name}", done=number, total=self._shape.layers, unit="layers"))
        at = LAYER.format(number)
        attention, feed = f"{at}.self_attn", f"{at}.mlp"
        return Layer(
            self._shape,
            attention_norm=self._tensor(f"{at}.input_layernorm.weight", device),
            qkv=self._linear([f"{attention}.{part}_proj" for part in "qkv"], device),
            out=self._linear([f"{attention}.o_proj"], device),
            feed_norm=self._tensor(f"{at}.post_attention_layernorm.weight", device),
            gate_up=self._linear([f"{feed}.gate_proj", f"{feed}.up_proj"], device),
            down=self._linear([f"{feed}.down_proj"], device),
        )

    def _linear(self, names: Sequence[str], device: torch.device) -> Linear:
        """Return the modules `names` as one."""
        packed = self._stored(names, device)
        if packed is not None:
            return packed
        weight, bias = self._dense(names, device)
        bits = self._bits(names[0], weight)
        if bits is None:
            return Dense(weight, bias)
        return (Int4 if bits == 4 else Int8).pack(weight, bias)

    def _table(self, name: str, device: torch.device) -> Dense | Int8:
        """Return a module that rows are looked up in."""
        packed = self._stored([name], device)
        if isinstance(packed, Int8):
            return packed
        weight, bias = self._dense([name], device)
        return Int8.pack(weight, bias) if self._bits(name, weight) else Dense(weight, bias)

    def _stored(self, names: Sequence[str], device: torch.device) -> Linear | None:
        """Return the modules `names` as one if their file packs them and no other quantization is set."""
        return self._weights.linear(names, device) if self._quantization == "none" else None

    def _bits(self, name: str, weight: Tensor) -> int | None:
        return bits_of(f"{name}.weight", weight.shape[1], self._quantization, {})

    def _dense(self, names: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor | None]:
        weight = torch.cat([self._tensor(f"{name}.weight", device) for name in names])
        biases = [self._weights.tensor(f"{name}.bias") for name in names]
        if all(bias is None for bias in biases):
            return weight, None
        rows = [self._sizes[f"{name}.weight"][0] for name in names]
        whole = [torch.zeros(count) if bias is None else bias for count, bias in zip(rows, biases, strict=True)]
        return weight, torch.cat(whole).to(device, self._dtype)

    def _tensor(self, name: str, device: torch.device) -> Tensor:
        tensor = self._weights.tensor(name)
        if tensor is None:
            raise missing(name)
        return tensor.to(device, self._dtype)

    def _device(self, module: str) -> torch.device:
        device = device_of(self._plan.device_map, module)
        return torch.device("cpu" if device is None else device)


def _check(weights: Weights, sizes: Mapping[str, torch.Size]) -> None:
    """Raise `CheckpointError` if a weight is missing, or has another shape than in the config.

    Kernels trust these shapes. A bias that the config does not have is added if it is as long as its weight has rows.
    """
    for name, size in sizes.items():
        shape = weights.shape(name)
        if shape is None:
            raise missing(name)
        bias = f"{name.removesuffix('.weight')}.bias"
        extra = weights.shape(bias) if len(size) == 2 else None
        for one, found, expected in ((name, shape, size), (bias, extra, size[:1])):
            if found is not None and found != tuple(expected):
                raise mismatch(one, found, expected)


def load(
    source: "Checkpoint", plan: Plan, shape: Shape, report: Report, *, quantization: str, capacity: int
) -> LlamaModel:
    """Read the weights of `source` for the lean decoder; raises `EngineError`.

    Packed weights of a GGUF file are written beside its config in the CPU's layout. The next load reads them there.
    """
    dtype: torch.dtype = getattr(torch, plan.dtype)

    def load_from(weights: Weights) -> LlamaModel:
        return Loader(shape, plan, weights, quantization=quantization, capacity=capacity).load(source.name, report)

    with reading(source):
        if source.gguf is None:
            return load_from(SafetensorsWeights(source.folder))
        keeps = quantization == "none" and {share.device for share in plan.devices} == {"cpu"}
        file = source.folder / file_name(dtype)
        if keeps and (kept := open_kept(file, sizes_of(shape), dtype)):
            return load_from(kept)
        from shardline.engine.weights.gguf_source import GgufWeights  # lazy: imports gguf, which takes a while

        weights = GgufWeights(source.gguf, dtype, heads=shape.heads, kv_heads=shape.kv_heads)
        if not keeps:
            return load_from(weights)
        keeper = Keeper(weights)
        model = load_from(keeper)
        keeper.keep(file)
        return model
