"""Layers whose weights wait in CPU memory compute what resident ones do, in two buffers; "cpu:0" plays the GPU."""

from pathlib import Path

import pytest
import torch
from torch import nn

from shardline.engine.checkpoints.checkpoint import find
from shardline.engine.models.llama.layer_streaming import BUFFERS, Streamed
from shardline.engine.models.llama.model import LlamaModel
from shardline.engine.placement import planner
from shardline.engine.plan import MIB
from shardline.errors import PlacementError
from shardline.setting_values import Device
from tests.engine.llamas import PROMPT, load, make
from tests.engine.waiting_layers import WAITING
from tests.parsed import model_settings

CPU = torch.device("cpu")
GPU: dict[str, Device] = {"": "cpu:0"}


def agree(one: LlamaModel, other: LlamaModel) -> None:
    ours, theirs = one.new_memory(), other.new_memory()
    for ids in (PROMPT, [7], [8], [9, 10, 11], [12]):
        torch.testing.assert_close(one.forward(ids, ours), other.forward(ids, theirs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("waiting", WAITING.values(), ids=WAITING)
def test_streamed_equals_resident(tmp_path: Path, waiting: dict[str, Device]) -> None:
    folder = make(tmp_path, "llama")
    agree(load(folder, places=GPU | waiting), load(folder, places=GPU))


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_packed_weights_are_streamed_too(tmp_path: Path, quantization: str) -> None:
    folder = make(tmp_path, "biases")
    streamed = load(folder, places=GPU | WAITING["three"], quantization=quantization, dtype="bfloat16")
    agree(streamed, load(folder, places=GPU, quantization=quantization, dtype="bfloat16"))
    assert streamed.bytes_per_token == load(folder, quantization=quantization, dtype="bfloat16").bytes_per_token


class Number(nn.Module):
    """A module that is one number, of more bytes the greater it is."""

    value: torch.Tensor
    scale: torch.Tensor

    def __init__(self, number: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([[0.5]], dtype=torch.bfloat16))
        self.register_buffer("value", torch.full((1 + 100 * number,), number))


def value(module: nn.Module) -> int:
    assert isinstance(module, Number)
    assert module.scale == 0.5
    return int(module.value.max())


def read(numbers: Streamed) -> list[int]:
    return [value(module) for module in numbers]


@pytest.mark.parametrize("count", range(6))
def test_each_comes_in_its_turn_in_every_pass(count: int) -> None:
    streamed = Streamed((Number(number) for number in range(count)), CPU)
    assert [read(streamed) for _ in range(3)] == [list(range(count))] * 3


def test_the_next_one_is_fetched_while_one_computes() -> None:
    streamed = Streamed((Number(number) for number in range(5)), CPU)
    for _ in range(2):
        following = [value(streamed[(number + 1) % 5]) for number, _ in enumerate(streamed) if number < 4]
        assert following == [1, 2, 3, 4]
        assert value(streamed[0]) == 0


@pytest.mark.parametrize("steps", range(5))
def test_a_pass_that_broke_off_does_not_harm_the_next(steps: int) -> None:
    streamed = Streamed((Number(number) for number in range(5)), CPU)
    broken = iter(streamed)
    for _ in range(steps):
        next(broken)
    del broken
    assert read(streamed) == list(range(5))


def test_no_more_than_two_are_on_the_device() -> None:
    streamed = Streamed((Number(number) for number in range(7)), CPU)
    places = {buffer.untyped_storage().data_ptr() for buffer in streamed.buffers()}
    assert len(places) == BUFFERS


def test_one_is_taken_off_before_the_next_is_loaded() -> None:
    loaded: list[Number] = []

    def load_one(number: int) -> Number:
        assert all(buffer.is_meta for module in loaded for buffer in module.buffers())
        loaded.append(Number(number))
        return loaded[-1]

    assert len(Streamed((load_one(number) for number in range(4)), CPU)) == 4


def planned(folder: Path, **wish: object) -> planner.Planned:
    settings = model_settings(name=str(folder), context_tokens=64, **wish)
    return planner.make(settings, find(settings, lambda _: None))


def test_a_gpu_with_too_little_memory_streams_instead_of_leaving_it_to_transformers(tiny_folder: Path) -> None:
    layers: dict[str, str | int] = {f"model.layers.{number}": "cpu" if number > 1 else 0 for number in range(4)}
    rest: dict[str, str | int] = {"model.embed_tokens": 0, "model.norm": 0, "model.rotary_emb": 0, "lm_head": 0}
    room = {"0": 10 * MIB, "cpu": 10 * MIB}
    plan = planned(tiny_folder, device_map=layers | rest, max_memory=room, quantization="int8")
    assert plan.shape is not None
    assert plan.plan.fits
    assert [share.layers for share in plan.plan.devices] == [2, 2]
    with pytest.raises(PlacementError, match="none on disk"):
        planned(tiny_folder, device_map=layers | rest | {"model.layers.3": "disk"}, quantization="int8")
