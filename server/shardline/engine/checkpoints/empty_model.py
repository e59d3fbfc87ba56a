"""transformers model on the meta device."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from shardline.errors import CheckpointError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def empty_model(config: "PreTrainedConfig", dtype: torch.dtype) -> nn.Module:
    """Return the model of `config` without weights; raises `CheckpointError` where it writes no text."""
    from transformers import AutoModelForCausalLM  # lazy: takes a second

    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    except Exception as error:
        raise CheckpointError(
            f"model.name: a {config.model_type} model is none that Shardline can complete text with "
            f"({first_line(error)})."
        ) from error
    model.tie_weights()
    whole: nn.Module = model
    return whole
