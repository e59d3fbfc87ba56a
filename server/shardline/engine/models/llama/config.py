"""Configs of the Llama family, with their rotary frequencies."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shardline.engine.checkpoints.config_values import MAX_WIDTH, Config, flag, real, whole
from shardline.errors import CheckpointError, first_line

FAMILIES = ("llama", "mistral", "qwen2")

ROPES = ("default", "linear", "llama3", "yarn")
"""Ways to stretch rotary embeddings that do not depend on the length of the text."""

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
"""Keys that a config must have; only transformers knows the values of those left out."""


@dataclass(frozen=True, kw_only=True)
class Widths:
    """The widths that a model's memory depends on; `inner` is that of its feed-forward."""

    hidden: int
    inner: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_size: int


@dataclass(frozen=True, kw_only=True)
class Shape(Widths):
    """The numbers that define a decoder of this family.

    `frequencies` has shape (head size / 2,); `rope_scale` multiplies the rotary tables.
    """

    layers: int
    window: int | None
    """Tokens that attention looks back, None for all."""
    epsilon: float
    tied: bool
    qkv_bias: bool
    out_bias: bool
    feed_bias: bool
    frequencies: Tensor
    rope_scale: float


def shape_of(config: Config) -> Shape | None:
    """Return the shape of a model of this family; None for others, and for configs with gaps.

    Raises `CheckpointError` for values that no model can have.
    """
    if config.get("model_type") not in FAMILIES or config.get("hidden_act", "silu") not in ("silu", "swish"):
        return None
    rope = _rope(config)
    if any(config.get(key) is None for key in NEEDED) or rope["rope_type"] not in ROPES:
        return None
    heads, kv_heads = whole(config, "num_attention_heads"), whole(config, "num_key_value_heads")
    hidden = whole(config, "hidden_size")
    head_size = whole(config, "head_dim") if config.get("head_dim") else _part(hidden, heads, "hidden_size")
    _part(heads, kv_heads, "num_attention_heads")
    _part(head_size, 2, "the size of a head")
    _check_width(heads * head_size)
    frequencies, scale = _frequencies(config, rope, head_size)
    is_qwen2 = config["model_type"] == "qwen2"
    slides = flag(config, "use_sliding_window", default=not is_qwen2) and config.get("sliding_window") is not None
    return Shape(
        layers=whole(config, "num_hidden_layers"),
        hidden=hidden,
        inner=whole(config, "intermediate_size"),
        vocabulary=whole(config, "vocab_size"),
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        window=whole(config, "sliding_window", lowest=0) if slides else None,
        epsilon=real(config, "rms_norm_eps"),
        tied=flag(config, "tie_word_embeddings"),
        qkv_bias=is_qwen2 or flag(config, "attention_bias"),
        out_bias=flag(config, "attention_bias"),
        feed_bias=flag(config, "mlp_bias"),
        frequencies=frequencies,
        rope_scale=scale,
    )


def _part(total: int, count: int, what: str) -> int:
    """Return `total` divided by `count`; raises `CheckpointError` if there is a remainder."""
    if total % count:
        raise CheckpointError(
            f"model.name: in the model's config, {what} is {total}, which is no multiple of {count}; fetch it again."
        )
    return total // count


def _check_width(width: int) -> None:
    if width > MAX_WIDTH:
        raise CheckpointError(f"model.name: by the model's config its attention is {width} wide; fetch it again.")


def _rope(config: Config) -> dict[str, Any]:
    """Return the rotary parameters of a config, old or new."""
    old, known = (config.get(key) or {} for key in ("rope_scaling", "rope_parameters"))
    if not isinstance(old, Mapping) or not isinstance(known, Mapping):
        raise _unreadable("they are no object")
    known = known or {**old, "rope_type": old.get("rope_type", old.get("type", "default"))}
    partial = known.get("partial_rotary_factor", config.get("partial_rotary_factor")) or 1.0
    kind = known.get("rope_type", "default") if partial == 1.0 else "partial"
    return {**known, "rope_type": kind, "rope_theta": known.get("rope_theta") or config.get("rope_theta", 10_000.0)}


def _frequencies(config: Config, rope: Mapping[str, Any], head_size: int) -> tuple[Tensor, float]:
    """Return the frequencies, shape (head size / 2,), and the scale; raises `CheckpointError`."""
    try:
        frequencies, scale = _computed(config, rope, head_size)
    except CheckpointError:
        raise
    except Exception as error:
        raise _unreadable(first_line(error)) from error
    if frequencies.shape != (head_size // 2,) or not frequencies.isfinite().all() or not math.isfinite(scale):
        raise _unreadable("they give no finite frequencies")
    return frequencies, scale


def _computed(config: Config, rope: Mapping[str, Any], head_size: int) -> tuple[Tensor, float]:
    theta = real(rope, "rope_theta")
    if rope["rope_type"] == "default":
        return 1.0 / theta ** (torch.arange(0, head_size, 2).float() / head_size), 1.0
    from transformers import AutoConfig  # lazy: imports transformers (1 s), and few models need it
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    others = {key: value for key, value in config.items() if key not in ("model_type", "rope_scaling")}
    made = AutoConfig.for_model(config["model_type"], **{**others, "rope_parameters": dict(rope)})
    frequencies, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](made, torch.device("cpu"))
    return frequencies, float(scale)


def _unreadable(why: str) -> CheckpointError:
    return CheckpointError(f"model.name: the rope_parameters of the model's config cannot be used ({why}).")
