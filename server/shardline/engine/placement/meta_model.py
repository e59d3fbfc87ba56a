"""Sizes of a model, built on the meta device from a config."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from shardline.engine.checkpoints.empty_model import empty_model
from shardline.engine.models.llama.config import Shape, Widths
from shardline.engine.models.llama.layer_streaming import BUFFERS
from shardline.engine.models.llama.meta_modules import Outline

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

PackedBytes = Callable[[str, Tensor], int | None]

KV_CACHE_BUFFER = "shardline_kv_cache"
"""The buffer in which each layer of a skeleton carries its KV cache, so that accelerate counts it."""


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """A model on the meta device; `layers` are the names of its decoder layers, in order."""

    model: nn.Module
    dtype: torch.dtype
    numbers: Mapping[str, int]
    """Numbers in each parameter, which packed ones do not show by their shape."""
    layers: tuple[str, ...]
    no_split: tuple[str, ...]
    """Class names of modules that must stay whole, because a residual connection runs inside."""
    kv_cache_per_layer: int
    """Bytes for the keys and values of a whole context in one layer."""
    workspace: int
    """Bytes that one device needs while it computes, beside weights and KV cache."""
    fetched_at_once: int
    """Fetched layers that are on the computing device at a time."""


def build_skeleton(
    made_of: "Shape | PreTrainedConfig",
    *,
    dtype: torch.dtype,
    context_tokens: int,
    prefill_tokens: int,
    packed_bytes: PackedBytes | None = None,
) -> Skeleton:
    """Build the skeleton of a model with room for `context_tokens`, read `prefill_tokens` at a time.

    A shape is enough for models like Llama, and fast; a config does for all. `packed_bytes` says how many bytes a
    weight takes once it is packed, or None for one that is not.
    """
    model = Outline(made_of, dtype) if isinstance(made_of, Shape) else empty_model(made_of, dtype)
    widths = widths_of(made_of)
    numbers = {name: weight.numel() for name, weight in model.named_parameters(remove_duplicate=False)}
    if packed_bytes:
        _pack(model, packed_bytes)
    no_split = tuple(getattr(model, "_no_split_modules", None) or ()) or _repeated_class(model)
    layers = _decoder_layers(model, no_split)
    per_layer = 2 * widths.kv_heads * widths.head_size * context_tokens * dtype.itemsize
    for name in layers:
        cache = torch.empty(per_layer, dtype=torch.uint8, device="meta")
        model.get_submodule(name).register_buffer(KV_CACHE_BUFFER, cache, persistent=False)
    return Skeleton(
        model=model,
        dtype=dtype,
        numbers=numbers,
        layers=layers,
        no_split=no_split,
        kv_cache_per_layer=per_layer,
        workspace=_workspace_bytes(widths, dtype, context_tokens, min(prefill_tokens, context_tokens)),
        fetched_at_once=BUFFERS if isinstance(made_of, Shape) else 1,
    )


def _pack(model: nn.Module, packed_bytes: PackedBytes) -> None:
    """Put in the place of each weight as many bytes as it takes when it is packed."""
    done: dict[int, nn.Parameter] = {}
    for name, weight in list(model.named_parameters(remove_duplicate=False)):
        size = packed_bytes(name, weight)
        if size is not None:
            empty = torch.empty(size, dtype=torch.uint8, device="meta")
            module, _, own = name.rpartition(".")
            done.setdefault(id(weight), nn.Parameter(empty, requires_grad=False))
            setattr(model.get_submodule(module), own, done[id(weight)])


def _repeated_class(model: nn.Module) -> tuple[str, ...]:
    """Return the class that fills the longest module list: a decoder layer, in every architecture there is."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    longest = max(lists, key=len, default=None)
    return (type(longest[0]).__name__,) if longest is not None else ()


def _decoder_layers(model: nn.Module, no_split: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the modules of the most frequent kind that must stay whole."""
    kinds = Counter(type(module).__name__ for module in model.modules())
    layer = max(no_split, key=lambda name: kinds[name], default=None)
    return tuple(name for name, module in model.named_modules() if type(module).__name__ == layer)


def widths_of(made_of: "Shape | PreTrainedConfig") -> Widths:
    """Return the widths of any architecture; 0 where its config is silent."""
    if isinstance(made_of, Shape):
        return made_of
    text = made_of.get_text_config()
    heads = getattr(text, "num_attention_heads", 0) or 0
    return Widths(
        hidden=text.hidden_size,
        inner=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
        heads=heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_size=getattr(text, "head_dim", None) or (text.hidden_size // heads if heads else 0),
    )


def _workspace_bytes(widths: Widths, dtype: torch.dtype, context_tokens: int, prefill_tokens: int) -> int:
    """Return the bytes of the widest prefill step: the MLP or the attention scores, and the logits of one token."""
    mlp = prefill_tokens * (4 * widths.hidden + 3 * widths.inner) * dtype.itemsize
    attention = prefill_tokens * (6 * widths.hidden * dtype.itemsize + (widths.heads or 1) * context_tokens * 4)
    return max(mlp, attention) + 2 * widths.vocabulary * 4
