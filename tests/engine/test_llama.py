"""The lean decoder says what the reference says: for each family, in stages, with what was read before, packed."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from shardline.engine.models.llama import LlamaModel
from shardline.engine.models.loading import Loader
from shardline.engine.models.shape import shape_of
from shardline.engine.plan import Device, Plan
from shardline.engine.tensors import SafetensorsWeights

CAPACITY = 64
SIZES = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "torch_dtype": "float32",
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


def make(folder: Path, family: str) -> Path:
    kind, changes = FAMILIES[family]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SIZES, **changes}))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


def plan(dtype: str, places: Mapping[str, Device]) -> Plan:
    return Plan(model="tiny", dtype=dtype, device_map=places, devices=())


def load(
    folder: Path, *, dtype: str = "float32", places: Mapping[str, Device] | None = None, quantization: str = "none"
) -> LlamaModel:
    shape = shape_of(AutoConfig.from_pretrained(folder), CAPACITY)
    assert shape is not None
    loader = Loader(
        shape,
        plan(dtype, places or {"": "cpu"}),
        SafetensorsWeights(folder),
        quantization=quantization,
        capacity=CAPACITY,
    )
    return loader.load("tiny", lambda _: None)


@torch.inference_mode()
def reference(folder: Path, ids: list[int], dtype: torch.dtype = torch.float32) -> Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    logits: Tensor = model(torch.tensor([ids])).logits[0].float()
    return logits


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path, request.param)


def test_its_logits_are_the_references(folder: Path) -> None:
    model = load(folder)
    expected = reference(folder, PROMPT)
    torch.testing.assert_close(model.forward(PROMPT, model.new_memory(), every=True), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.forward(PROMPT, model.new_memory()), expected[-1], atol=1e-4, rtol=1e-4)


def test_in_bfloat16_they_are_as_near_as_its_digits_allow(folder: Path) -> None:
    model = load(folder, dtype="bfloat16")
    exact = reference(folder, PROMPT)
    theirs = (reference(folder, PROMPT, torch.bfloat16) - exact).abs().mean()
    ours = (model.forward(PROMPT, model.new_memory(), every=True) - exact).abs().mean()
    assert ours <= 1.5 * theirs


@pytest.mark.parametrize("cuts", [[1], [5], [11], [1, 2, 3, 4], [4, 8]])
def test_read_in_parts_it_says_the_same(tmp_path: Path, cuts: list[int]) -> None:
    model = load(make(tmp_path, "llama"))
    memory = model.new_memory()
    borders = [0, *cuts, len(PROMPT)]
    parts = [model.forward(PROMPT[a:b], memory, every=True) for a, b in pairwise(borders)]
    whole = model.forward(PROMPT, model.new_memory(), every=True)
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=1e-4)


def test_what_was_forgotten_leaves_no_trace(tmp_path: Path) -> None:
    model = load(make(tmp_path, "llama"))
    memory = model.new_memory()
    model.forward([1, 2, 3, *PROMPT], memory)
    memory.truncate(0)
    model.forward(PROMPT[:6], memory)
    memory.truncate(4)
    again = model.forward(PROMPT[4:], memory)
    torch.testing.assert_close(again, model.forward(PROMPT, model.new_memory()), atol=1e-4, rtol=1e-4)
