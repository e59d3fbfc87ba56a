"""What holds on a CPU holds on a GPU too, and what is recorded there says what was computed before."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from shardline.engine.local.runner import Runner
from shardline.engine.models.llama.cuda_graph import MIN_ROWS
from shardline.engine.models.llama.model import LlamaMemory, LlamaModel
from shardline.setting_values import Device
from tests.engine.llamas import FAMILIES, PROMPT, load, make, reference
from tests.engine.tiny_runner import CODE, open_tiny, text
from tests.engine.waiting_layers import WAITING

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

GPU: Mapping[str, Device] = {"": "cuda:0"}
LONG = 2 * MIN_ROWS + 50


def close(said: torch.Tensor, expected: torch.Tensor, rough: float = 1e-4) -> None:
    torch.testing.assert_close(said.cpu(), expected.cpu(), atol=rough, rtol=rough)


def graphed(model: LlamaModel, ids: list[int]) -> LlamaMemory:
    """Return a memory of `ids` that goes on by graphs."""
    memory = model.new_memory()
    model.forward(ids, memory)
    model.prepare(memory)
    assert memory.steps
    assert memory.length == len(ids)
    return memory


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path, request.param)


def test_its_logits_are_the_references(folder: Path) -> None:
    model = load(folder, places=GPU)
    close(model.forward(PROMPT, model.new_memory(), every=True), reference(folder, PROMPT), rough=1e-3)


def test_graphed_equals_eager(folder: Path) -> None:
    model = load(folder, places=GPU)
    memory, eager = graphed(model, PROMPT), model.new_memory()
    model.forward(PROMPT, eager)
    for token in (7, 8, 40, 3):
        close(model.forward([token], memory), model.forward([token], eager))


def test_graphs_of_several_texts_stay_apart_and_grow_with_them(tmp_path: Path) -> None:
    model = load(make(tmp_path, "llama"), places=GPU, capacity=LONG)
    texts = [[(number * step) % 96 for number in range(1, length)] for step, length in ((5, 240), (7, 500), (3, 80))]
    memories = [graphed(model, ids) for ids in texts]
    eager = [model.new_memory() for _ in texts]
    for ids, memory in zip(texts, eager, strict=True):
        model.forward(ids, memory)
    for token in range(30):  # over the ends of two lengths
        for memory, plain in zip(memories, eager, strict=True):
            close(model.forward([token], memory), model.forward([token], plain))
        if token == 20:
            for memory in memories:
                model.prepare(memory)
    assert [sorted(memory.steps) for memory in memories] == [[256, 512], [512, LONG], [256]]


def test_a_graph_is_right_after_what_was_forgotten(tmp_path: Path) -> None:
    model = load(make(tmp_path, "llama"), places=GPU)
    memory = graphed(model, [9, 8, 7, *PROMPT])
    memory.truncate(0)
    model.forward(PROMPT[:6], memory)
    parts = [model.forward([token], memory) for token in PROMPT[6:]]
    close(torch.stack(parts), model.forward(PROMPT, model.new_memory(), every=True)[6:])  # none was overwritten


@pytest.mark.parametrize("cut", [1, 2])
def test_staged_equals_unstaged(tmp_path: Path, cut: int) -> None:
    folder = make(tmp_path, "llama")
    places = {**GPU, **{f"model.layers.{number}": "cuda" for number in range(cut, 3)}, "lm_head": "cuda"}
    whole, staged = load(folder, places=GPU), load(folder, places=places)
    one, several = graphed(whole, PROMPT), graphed(staged, PROMPT)
    assert [len(part) for part in several.parts] == [cut, 3 - cut]
    for ids in ([7], [8], PROMPT, [9]):
        close(staged.forward(ids, several), whole.forward(ids, one))


@pytest.mark.parametrize("waiting", WAITING.values(), ids=WAITING)
def test_streamed_equals_resident(tmp_path: Path, waiting: dict[str, Device]) -> None:
    folder = make(tmp_path, "llama")
    resident, streamed = load(folder, places=GPU), load(folder, places={**GPU, **waiting})
    one, other = resident.new_memory(), streamed.new_memory()
    for ids in (PROMPT, [7], [8], [9, 10, 11], [12], [13]):
        close(streamed.forward(ids, other), resident.forward(ids, one))


@pytest.mark.parametrize(("quantization", "share"), [("int8", 0.05), ("int4", 0.25)])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_packed_it_stays_near_graphed_or_not(tmp_path: Path, quantization: str, share: float, dtype: str) -> None:
    folder = make(tmp_path, "llama")
    exact = reference(folder, PROMPT)
    model = load(folder, places=GPU, dtype=dtype, quantization=quantization)
    said = model.forward(PROMPT, model.new_memory(), every=True).cpu()
    assert (said - exact).abs().mean() <= share * exact.abs().mean()
    memory = graphed(model, PROMPT[:4])
    one_by_one = torch.stack([model.forward([token], memory) for token in PROMPT[4:]]).cpu()
    assert (one_by_one - exact[4:]).abs().mean() <= share * exact.abs().mean()


def test_packed_layers_are_streamed_too(tmp_path: Path) -> None:
    folder = make(tmp_path, "biases")
    for quantization in ("int8", "int4"):
        wish = {"dtype": "bfloat16", "quantization": quantization}
        resident = load(folder, places=GPU, **wish)  # type: ignore[arg-type]
        streamed = load(folder, places={**GPU, **WAITING["three"]}, **wish)  # type: ignore[arg-type]
        said = streamed.forward(PROMPT, streamed.new_memory(), every=True)
        close(said, resident.forward(PROMPT, resident.new_memory(), every=True), rough=0.1)


def test_graphs_and_their_pool_are_freed_with_the_memory(tmp_path: Path) -> None:
    model = load(make(tmp_path, "llama"), places=GPU)
    graphed(model, PROMPT)  # takes what libraries keep for good
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    for _ in range(3):
        memory = graphed(model, PROMPT)
        model.forward([7], memory)
        del memory
        torch.cuda.empty_cache()
    assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == before


def answered(runner: Runner, prefix: str) -> str:
    """Return what the engine writes, and what it does when the answer is out."""
    written = text(runner, prefix)
    runner.prepare()
    return written


def test_cached_equals_uncached(tiny_folder: Path) -> None:
    prefixes = [CODE[:end] for end in (10, 11, 12, 40, 41, 30, len(CODE), len(CODE) - 1, 5)]
    fresh = [text(open_tiny(tiny_folder, device_map=0), prefix) for prefix in prefixes]
    runner = open_tiny(tiny_folder, device_map=0)
    assert [answered(runner, prefix) for prefix in prefixes] == fresh
