"""Where a device runs out of memory, all that was taken is freed, the user is told, and the next request is served."""

import gc
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shardline.engine import Request
from shardline.engine.local.engine import LocalEngine
from shardline.engine.local.runner import Runner
from shardline.errors import GenerationError
from shardline.settings import ModelSettings
from tests.engine.collecting import collect
from tests.engine.crowded import crowded
from tests.engine.tiny_runner import CODE


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    """Memory must be free at once, not when Python next looks for cycles."""
    gc.disable()
    yield
    gc.enable()


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
