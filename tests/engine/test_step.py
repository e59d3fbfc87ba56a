"""The decode step over a fixed number of rows says what reading a token says: what CUDA graphs repeat is right."""

import weakref
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from shardline.engine.generation.kv_cache_pool import KVCaches
from shardline.engine.models.llama.cuda_graph import MIN_ROWS, rows_for
from shardline.engine.models.llama.model import LlamaMemory, LlamaModel
from shardline.setting_values import Device
from tests.engine.kv_pools import of
from tests.engine.llamas import CAPACITY, HALVES, PROMPT, fill, load, make

pytestmark = pytest.mark.slow


def with_step(model: LlamaModel, rows: int) -> LlamaMemory:
    """Return a memory whose single tokens are read by the step over `rows`, as after `prepare` on a GPU."""
    memory = model.new_memory()
    fill(memory, 0)
    memory.steps[rows] = model.step(memory, rows)
    return memory


@pytest.mark.parametrize("family", ["llama", "codellama", "biases", "qwen2, yarn"])
@pytest.mark.parametrize("places", [{"": "cpu"}, HALVES], ids=["one device", "several"])
@pytest.mark.parametrize("rows", [13, 16, CAPACITY])
def test_a_step_equals_reading_a_token(tmp_path: Path, family: str, places: Mapping[str, Device], rows: int) -> None:
    model = load(make(tmp_path, family), places=places)
    stepped, read = with_step(model, rows), model.new_memory()
    for at, token in enumerate(PROMPT):
        said, expected = model.forward([token], stepped), model.forward([token], read)
        torch.testing.assert_close(said, expected, atol=1e-5, rtol=1e-5)
        assert stepped.length == read.length == at + 1


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_a_step_of_packed_weights_equals_reading_a_token(tmp_path: Path, quantization: str) -> None:
    model = load(make(tmp_path, "llama"), quantization=quantization)
    stepped, read = with_step(model, CAPACITY), model.new_memory()
    for token in PROMPT:
        said, expected = model.forward([token], stepped, every=True), model.forward([token], read, every=True)
        torch.testing.assert_close(said, expected, atol=1e-4, rtol=1e-4)


def test_steps_and_several_tokens_at_once_read_the_same_memory(tmp_path: Path) -> None:
    model = load(make(tmp_path, "llama"))
    memory = with_step(model, 10)
    model.forward([90, 91, 92, 93, 94, 95, *PROMPT], memory)  # what a longer text left behind is not looked at
    memory.truncate(0)
    parts = [model.forward(PROMPT[a:b], memory, every=True) for a, b in ((0, 4), (4, 5), (5, 8), (8, 9), (9, 10))]
    parts += [model.forward([token], memory, every=True) for token in PROMPT[10:]]  # beyond the rows of the step
    whole = model.forward(PROMPT, model.new_memory(), every=True)
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=1e-4)


def test_the_shortest_step_that_sees_enough_is_taken(tmp_path: Path) -> None:
    memory = with_step(load(make(tmp_path, "llama")), 16)
    memory.steps[32] = longer = load(tmp_path).step(memory, 32)
    assert memory.step(16) is memory.steps[16]
    assert memory.step(17) is longer
    assert memory.step(33) is None


@pytest.mark.parametrize(("end", "rows"), [(1, MIN_ROWS), (256, 256), (257, 512), (1025, 2000), (2000, 2000)])
def test_rows_double_up_to_the_capacity(end: int, rows: int) -> None:
    assert rows_for(end, 2000) == rows


def test_where_there_is_no_gpu_nothing_is_captured(tmp_path: Path) -> None:
    model = load(make(tmp_path, "llama"))
    memory = model.new_memory()
    model.forward(PROMPT, memory)
    model.prepare(memory)
    assert memory.steps == {}
    assert memory.length == len(PROMPT)


def test_steps_are_freed_with_the_memory_they_are_bound_to(tmp_path: Path) -> None:
    model = load(make(tmp_path, "llama"))
    caches = KVCaches(model, max_caches=1)
    memory = of(caches, "one").memory
    memory.steps[16] = model.step(memory, 16)
    things: list[object] = [memory, memory.steps[16], memory.parts[0][0][0]]
    kept = [weakref.ref(thing) for thing in things]
    del memory, things
    assert all(reference() is not None for reference in kept)
    assert of(caches, "two").memory is kept[0]()
    caches.forget("two")
    assert all(reference() is None for reference in kept)
