"""Values of a config.json, checked before anything is allocated by them."""

import math
import reprlib
from collections.abc import Mapping
from typing import Any

from shardline.errors import CheckpointError

Config = Mapping[str, Any]
"""A config.json."""

MAX_LAYERS = 1024
MAX_EXPERTS = 4096
MAX_WIDTH = 2**20
MAX_INNER = 2**22
MAX_VOCABULARY = 2**24
MAX_POSITIONS = 2**31 - 1

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Sizes of which alone a model may have none."""

LIMITS = {
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers"), MAX_LAYERS),
    **dict.fromkeys(EXPERTS, MAX_EXPERTS),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "head_dim"), MAX_WIDTH),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "n_head"), MAX_WIDTH),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner"), MAX_INNER),
    "vocab_size": MAX_VOCABULARY,
    **dict.fromkeys(("max_position_embeddings", "n_positions"), MAX_POSITIONS),
}
"""The highest of each that a model may have, far above any that is known."""

BY_LAYER = ("num_attention_heads", "num_key_value_heads", "intermediate_size")
"""Those that some models have a list of, with a size for each layer."""


def check_sizes(values: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` where a size of any architecture is no whole number in its limits."""
    for key, highest in LIMITS.items():
        value = values.get(key)
        for size in value if isinstance(value, list) and key in BY_LAYER else [value]:
            if size is not None:
                _check_whole(key, size, 0 if key in EXPERTS else 1, highest)


def refuse_code(values: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` where a config, or a part of it, names a kernel of the hub to compute with.

    transformers would fetch and load it, as native code, where its `kernels` package is installed.
    """
    for key, value in values.items():
        named = value.values() if isinstance(value, Mapping) else [value]
        if "implementation" in key and any(isinstance(name, str) and "/" in name for name in named):
            raise CheckpointError(
                f"model.name: the model's config says {reprlib.repr(value)} for {key}, which is code from the hub. "
                f"Shardline never runs code that comes with a model; remove {key} from its config.json."
            )
        if isinstance(value, Mapping):
            refuse_code(value)


def whole(values: Mapping[str, Any], key: str, *, lowest: int = 1) -> int:
    """Return a size that has to be there; raises `CheckpointError`."""
    value: int = values[key]
    _check_whole(key, value, lowest, LIMITS.get(key, MAX_POSITIONS))
    return value


def real(values: Mapping[str, Any], key: str) -> float:
    """Return a positive number that has to be there; raises `CheckpointError`."""
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise _refusal(key, value, "a positive number")
    return float(value)


def flag(values: Mapping[str, Any], key: str, default: bool = False) -> bool:
    """Return a truth value, or `default` where it is missing; raises `CheckpointError`."""
    value = default if values.get(key) is None else values[key]
    if not isinstance(value, bool):
        raise _refusal(key, value, "true or false")
    return value


def _check_whole(key: str, value: Any, lowest: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise _refusal(key, value, f"a whole number from {lowest} to {highest}")


def _refusal(key: str, value: Any, kind: str) -> CheckpointError:
    return CheckpointError(
        f"model.name: the model's config says {reprlib.repr(value)} for {key}, which must be {kind}; fetch it again."
    )
