"""Where a device runs out of memory, all that was taken is freed, the user is told, and the next request is served."""

import gc
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shardline.engine import Request
from shardline.engine.checkpoint import find
from shardline.engine.codec import Codec
from shardline.engine.local import LocalEngine
from shardline.engine.models.llama import LlamaMemory, LlamaModel
from shardline.engine.plan import Plan
from shardline.engine.runner import Runner, open_runner
from shardline.errors import GenerationError
from shardline.settings import ModelSettings
from tests.engine.test_local import CODE, collect


class Crowded:
    """A real tiny model on a device that runs out of memory at the passes `full`, after the keys are written."""

    bytes_per_token = 0

    def __init__(self, model: LlamaModel, full: Sequence[int]) -> None:
        self._model = model
        self.full = full
        self.passes = 0
        self.taken: list[weakref.ref[LlamaMemory]] = []

    def new_memory(self) -> LlamaMemory:
        memory = self._model.new_memory()
        self.taken.append(weakref.ref(memory))
        return memory

    def forward(self, ids: Sequence[int], memory: LlamaMemory, *, every: bool = False) -> Tensor:
        logits = self._model.forward(ids, memory, every=every)
        self.passes += 1
        if self.passes in self.full:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return logits

    def prepare(self, memory: LlamaMemory) -> None:
        self._model.prepare(memory)

    @property
    def held(self) -> int:
        """How many memories have not been freed."""
        return sum(memory() is not None for memory in self.taken)


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    """Memory must be free at once, not when Python next looks for cycles."""
    gc.disable()
    yield
    gc.enable()


def crowded(folder: Path, full: Sequence[int]) -> tuple[Crowded, Runner]:
    settings = ModelSettings(name=str(folder), context_tokens=512)
    model = open_runner(settings, lambda _: None).model
    assert isinstance(model, LlamaModel)
    peer = Crowded(model, full)
    plan = Plan(model="crowded", dtype="float32", device_map={"": "cpu"}, devices=())
    return peer, Runner(plan=plan, model=peer, codec=Codec.of(find(settings, lambda _: None)), context_tokens=512)


def write(runner: Runner, document: str, prefix: str = CODE) -> str:
    request = Request(document=document, prefix=prefix, suffix="\nx = 1\n", max_tokens=12)
    return "".join(chunk.text for chunk in runner.complete(request, threading.Event()))


@pytest.mark.parametrize("step", [1, 2, 3, 7], ids=lambda step: f"at pass {step}")
def test_a_completion_that_finds_no_memory_frees_all_and_the_next_is_right(tiny_folder: Path, step: int) -> None:
    _, healthy = crowded(tiny_folder, full=())
    peer, runner = crowded(tiny_folder, full=(step,))
    with pytest.raises(GenerationError, match=r"ran out of memory.*model\.contextTokens") as caught:
        write(runner, "d")
    assert peer.held == 0  # though the error is still here
    assert caught.value.__cause__ is not None
    assert write(runner, "d") == write(healthy, "d") != ""


def test_the_caches_of_all_documents_make_room(tiny_folder: Path) -> None:
    peer, runner = crowded(tiny_folder, full=())
    for document in "abc":
        write(runner, document)
    assert peer.held == 3
    peer.full = (peer.passes + 2,)
    with pytest.raises(GenerationError):
        write(runner, "a")
    assert peer.held == 0


def test_scoring_that_finds_no_memory_frees_all_too(tiny_folder: Path) -> None:
    peer, runner = crowded(tiny_folder, full=(2,))
    request = Request(document="d", prefix=CODE, suffix="\nfor name in names:\n    pass\n", max_tokens=24)
    with pytest.raises(GenerationError, match="ran out of memory"):
        runner.score_suffix(request, ["y", "z"], threading.Event())
    assert peer.held == 0
    assert len(runner.score_suffix(request, ["y", "z"], threading.Event())) == 2


async def test_the_engine_says_so_and_serves_the_next_request(tiny_folder: Path) -> None:
    _, healthy = crowded(tiny_folder, full=())
    peer, runner = crowded(tiny_folder, full=(3,))
    request = Request(document="d", prefix=CODE, suffix="\nx = 1\n", max_tokens=12)
    with closing(LocalEngine(ModelSettings(), lambda *_: runner)) as engine:
        await engine.load(lambda _: None)
        with pytest.raises(GenerationError, match="ran out of memory"):
            await collect(engine, request)
        assert peer.held == 0
        assert await collect(engine, request) == write(healthy, "d")
    await engine.wait_closed()
