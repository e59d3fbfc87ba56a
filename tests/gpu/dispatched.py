"""The peer to be measured beside: a model of transformers, dispatched by accelerate as over several devices."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import dispatch_model, init_empty_weights
from accelerate.utils import set_module_tensor_to_device
from transformers import AutoConfig, AutoModelForCausalLM

from tests.gpu.random_model import RandomWeights, shape


class Dispatched:
    """`generate` with the same random weights, and with the hooks that accelerate puts on every module."""

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        kind, values = config["model_type"], {key: value for key, value in config.items() if key != "model_type"}
        with init_empty_weights():
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **values), dtype=torch.bfloat16)
        weights = RandomWeights(shape(config), torch.bfloat16, device)
        for name in weights.sizes:
            set_module_tensor_to_device(model, name, device, value=weights.tensor(name))
        parts = ["model.embed_tokens", "model.rotary_emb", "model.norm", "lm_head"]
        parts += [f"model.layers.{number}" for number in range(config["num_hidden_layers"])]
        self._model: Any = dispatch_model(model.eval(), dict.fromkeys(parts, device), force_hooks=True)
        self._device = device

    def seconds(self, prompt: int, count: int) -> float:
        """How long it takes to read a prompt and write `count` tokens."""
        ids = torch.arange(3, 3 + prompt, device=self._device).unsqueeze(0)
        began = time.perf_counter()
        wish = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False, "pad_token_id": 0}
        written = self._model.generate(ids, attention_mask=torch.ones_like(ids), **wish)
        written[0, -1].item()  # which waits for the device
        return time.perf_counter() - began
