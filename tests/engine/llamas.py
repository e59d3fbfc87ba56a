"""Tiny models of the Llama family."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from shardline.engine.models.llama.config import shape_of
from shardline.engine.models.llama.loader import Loader
from shardline.engine.models.llama.model import LlamaMemory, LlamaModel
from shardline.engine.plan import Plan
from shardline.engine.weights.safetensors_source import SafetensorsWeights
from shardline.setting_values import Device

CAPACITY = 64


SIZES = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "eos_token_id": 0,
    "rms_norm_eps": 1e-5,
    "dtype": "float32",
}


THETA = {"rope_type": "default", "rope_theta": 10_000.0}


LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


FAMILIES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "codellama": ("llama", {"rope_parameters": {**THETA, "rope_theta": 1e6}, "num_key_value_heads": 4}),
    "llama 3": ("llama", {"rope_parameters": {**LLAMA3, "original_max_position_embeddings": 32}}),
    "deepseek coder": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e5, "factor": 4.0}}),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "wide heads": ("llama", {"head_dim": 32}),
    "mistral": ("mistral", {"sliding_window": 4096}),
    "qwen2": ("qwen2", {}),
    "qwen2, yarn": (
        "qwen2",
        {"rope_parameters": {**THETA, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}},
    ),
}


PROMPT = [5, 9, 33, 2, 71, 8, 8, 40, 17, 3, 90, 11]


def make(folder: Path, family: str, **more: int) -> Path:
    kind, changes = FAMILIES[family]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SIZES, **changes, **more}))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


def plan(dtype: str, places: Mapping[str, Device]) -> Plan:
    return Plan(model="tiny", dtype=dtype, device_map=places, devices=())


HALVES: Mapping[str, Device] = {"": "cpu:0", "model.embed_tokens": "cpu", "model.layers.2": "cpu", "lm_head": "cpu"}


def load(
    folder: Path,
    *,
    dtype: str = "float32",
    places: Mapping[str, Device] | None = None,
    quantization: str = "none",
    capacity: int = CAPACITY,
) -> LlamaModel:
    shape = shape_of(json.loads((folder / "config.json").read_text()))
    assert shape is not None
    loader = Loader(
        shape,
        plan(dtype, places or {"": "cpu"}),
        SafetensorsWeights(folder),
        quantization=quantization,
        capacity=capacity,
    )
    return loader.load("tiny", lambda _: None)


@torch.inference_mode()
def reference(folder: Path, ids: list[int], dtype: torch.dtype = torch.float32) -> Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    logits: Tensor = model(torch.tensor([ids])).logits[0].float()
    return logits


def fill(memory: LlamaMemory, value: float) -> None:
    """Put `value` into all keys and values."""
    for part in memory.parts:
        for keys, values in part:
            keys.fill_(value)
            values.fill_(value)


Memories = list[LlamaMemory]


def read_alone_and_together(
    model: LlamaModel, texts: Sequence[Sequence[int]]
) -> tuple[Memories, Memories, list[tuple[Tensor, Tensor]]]:
    """Read `texts` twice behind others, each alone and all in one pass; returns both memories and both logits."""
    alone, together = ([model.new_memory() for _ in texts] for _ in range(2))
    for memories in (alone, together):
        for number, memory in enumerate(memories[1:]):
            model.forward(PROMPT[number : 3 * number + 1], memory)
    said: list[tuple[Tensor, Tensor]] = []
    for _ in range(2):
        expected = [model.forward(ids, memory, every=True) for ids, memory in zip(texts, alone, strict=True)]
        found = model.forward_batch(list(zip(texts, together, strict=True)))
        said += zip(found, expected, strict=True)
    return alone, together, said
