"""The Llama family by its numbers: which configs the lean decoder can run, and their rotary frequencies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

FAMILIES = ("llama", "mistral", "qwen2")

ROPES = ("default", "linear", "llama3", "yarn")
"""Ways to stretch rotary embeddings that do not depend on how long a text is."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a decoder of this family is made of.

    `frequencies` has shape (head size / 2,); `rope_scale` multiplies the rotary tables.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    epsilon: float
    tied: bool
    frequencies: Tensor
    rope_scale: float


def shape_of(config: PreTrainedConfig, context_tokens: int) -> Shape | None:
    """The shape of a model of this family; None for others, and where attention would slide within the context."""
    if config.model_type not in FAMILIES or config.hidden_act not in ("silu", "swish"):
        return None
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and window < context_tokens:
        return None
    rope: Mapping[str, Any] = config.rope_parameters
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if rope.get("rope_type", "default") not in ROPES or rope.get("partial_rotary_factor", 1.0) != 1.0:
        return None
    frequencies, scale = _frequencies(config, rope, head_size)
    return Shape(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_size=head_size,
        epsilon=config.rms_norm_eps,
        tied=config.tie_word_embeddings,
        frequencies=frequencies,
        rope_scale=scale,
    )


def _frequencies(config: PreTrainedConfig, rope: Mapping[str, Any], head_size: int) -> tuple[Tensor, float]:
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return 1.0 / rope["rope_theta"] ** (torch.arange(0, head_size, 2).float() / head_size), 1.0
    frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    return frequencies, float(scale)
