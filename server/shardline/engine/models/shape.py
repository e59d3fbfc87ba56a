"""The Llama family by its numbers: which configs the lean decoder can run, and their rotary frequencies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Config = Mapping[str, Any]
"""A config.json."""

FAMILIES = ("llama", "mistral", "qwen2")

ROPES = ("default", "linear", "llama3", "yarn")
"""Ways to stretch rotary embeddings that do not depend on how long a text is."""


NEEDED = (
    "eos_token_id",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "vocab_size",
)
"""What a config must say: what it leaves out, only transformers knows."""


@dataclass(frozen=True, kw_only=True)
class Widths:
    """How wide a model is where its memory depends on that; `inner` is the width of its feed-forward."""

    hidden: int
    inner: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_size: int


@dataclass(frozen=True, kw_only=True)
class Shape(Widths):
    """What a decoder of this family is made of.

    `frequencies` has shape (head size / 2,); `rope_scale` multiplies the rotary tables.
    """

    layers: int
    longest: int
    """How many tokens it was made for."""
    window: int | None
    """How many tokens attention looks back, None for all."""
    epsilon: float
    tied: bool
    qkv_bias: bool
    out_bias: bool
    feed_bias: bool
    frequencies: Tensor
    rope_scale: float


def shape_of(config: Config) -> Shape | None:
    """The shape of a model of this family; None for others, and where the config leaves something to be guessed."""
    if config.get("model_type") not in FAMILIES or config.get("hidden_act", "silu") not in ("silu", "swish"):
        return None
    rope = _rope(config)
    if any(config.get(key) is None for key in NEEDED) or rope["rope_type"] not in ROPES:
        return None
    head_size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies, scale = _frequencies(config, rope, head_size)
    slides = config.get("use_sliding_window", config["model_type"] != "qwen2")
    return Shape(
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        inner=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_size=head_size,
        longest=config["max_position_embeddings"],
        window=config.get("sliding_window") if slides else None,
        epsilon=config["rms_norm_eps"],
        tied=config.get("tie_word_embeddings", False),
        qkv_bias=config["model_type"] == "qwen2" or config.get("attention_bias", False),
        out_bias=config.get("attention_bias", False),
        feed_bias=config.get("mlp_bias", False),
        frequencies=frequencies,
        rope_scale=scale,
    )


def _rope(config: Config) -> dict[str, Any]:
    """How positions are written, from configs of all ages."""
    old = config.get("rope_scaling") or {}
    known = config.get("rope_parameters") or {**old, "rope_type": old.get("rope_type", old.get("type", "default"))}
    partial = known.get("partial_rotary_factor", config.get("partial_rotary_factor")) or 1.0
    kind = known.get("rope_type", "default") if partial == 1.0 else "partial"
    return {**known, "rope_type": kind, "rope_theta": known.get("rope_theta") or config.get("rope_theta", 10_000.0)}


def _frequencies(config: Config, rope: Mapping[str, Any], head_size: int) -> tuple[Tensor, float]:
    if rope["rope_type"] == "default":
        return 1.0 / rope["rope_theta"] ** (torch.arange(0, head_size, 2).float() / head_size), 1.0
    from transformers import AutoConfig  # here, because few models need it
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    others = {key: value for key, value in config.items() if key not in ("model_type", "rope_scaling")}
    whole = AutoConfig.for_model(config["model_type"], **{**others, "rope_parameters": dict(rope)})
    frequencies, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](whole, torch.device("cpu"))
    return frequencies, float(scale)
