"""The engine in its own thread: it streams, is cancelled by its task, and maps every failure to a sentence."""

import asyncio
import gc
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from shardline.engine import Progress, Request
from shardline.engine.local.engine import LocalEngine
from shardline.engine.local.runner import Runner
from shardline.engine.models.llama.stage import Layer
from shardline.errors import CheckpointError, EngineError, NotReadyError
from shardline.settings import ModelSettings
from tests.engine.collecting import collect
from tests.engine.crowded import crowded

pytestmark = pytest.mark.slow

CODE = "def add(a, b):\n    return a + b\n"


async def opened(folder: Path) -> LocalEngine:
    engine = LocalEngine(ModelSettings(name=str(folder), context_tokens=512))
    await engine.load(lambda _: None)
    return engine


def is_placed(engine: LocalEngine) -> bool:
    return engine.placement is not None


async def test_it_loads_with_progress_and_streams(tiny_folder: Path) -> None:
    told: list[Progress] = []
    engine = LocalEngine(ModelSettings(name=str(tiny_folder)))
    assert not is_placed(engine)
    await engine.load(told.append)
    assert [(progress.done, progress.total) for progress in told if progress.unit == "layers"] == [
        (done, 4) for done in range(4)
    ]
    assert told[-1].activity == "Warming up"
    assert engine.placement
    assert engine.placement.fits
    chunks = [chunk async for chunk in engine.complete(Request(document="d", prefix=CODE, max_tokens=8))]
    assert len(chunks) > 1  # what is read is told of before anything is written
    assert [chunk.finish_reason is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    engine.close()


async def test_requests_are_answered_one_after_another(tiny_folder: Path) -> None:
    engine = await opened(tiny_folder)
    requests = [Request(document="d", prefix=CODE[:end], max_tokens=8) for end in (5, 10, 20)]
    alone = [await collect(engine, request) for request in requests]
    assert await asyncio.gather(*(collect(engine, request) for request in requests)) == alone
    engine.close()


async def test_cancelling_the_task_ends_the_generation(tiny_folder: Path) -> None:
    engine = await opened(tiny_folder)
    began = asyncio.Event()

    async def endless() -> None:
        async for _ in engine.complete(Request(document="d", prefix=CODE, max_tokens=250)):
            began.set()

    task = asyncio.create_task(endless())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await collect(engine, Request(document="d", prefix=CODE, max_tokens=8))
    engine.close()


async def test_closing_ends_the_thread(tiny_folder: Path) -> None:
    engine = await opened(tiny_folder)
    before = sum(thread.name == "shardline-engine" for thread in threading.enumerate())
    engine.close()
    await engine.wait_closed()
    assert sum(thread.name == "shardline-engine" for thread in threading.enumerate()) == before - 1


def test_a_process_that_fails_with_an_engine_open_ends() -> None:
    code = "from tests.engine.test_local import *; LocalEngine(ModelSettings()); 1 / 0"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


async def test_closing_while_it_loads_ends_the_loading(tiny_folder: Path) -> None:
    engine = LocalEngine(ModelSettings(name=str(tiny_folder)))

    def close(progress: Progress) -> None:
        assert progress.activity.startswith("Loading")  # nothing is told after that
        engine.close()

    with pytest.raises(NotReadyError, match="closed while it was loading"):
        await engine.load(close)
    await engine.wait_closed()


async def test_nobody_waiting_for_the_load_any_more_does_not_end_the_thread(tiny_folder: Path) -> None:
    began, go_on = threading.Event(), threading.Event()
    _, runner = crowded(tiny_folder, full=())

    def opener(*_: object) -> Runner:
        began.set()
        go_on.wait()
        return runner

    with closing(LocalEngine(ModelSettings(), opener)) as engine:
        loading = asyncio.create_task(engine.load(lambda _: None))
        await asyncio.to_thread(began.wait)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        go_on.set()
        assert await collect(engine, Request(document="d", prefix=CODE, max_tokens=4))
    await engine.wait_closed()


async def test_who_gives_up_waiting_for_the_end_does_not_keep_others_from_it(tiny_folder: Path) -> None:
    engine = await opened(tiny_folder)
    waiting = asyncio.create_task(engine.wait_closed())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    engine.close()
    await engine.wait_closed()


def layers() -> int:
    """How many layers there are in this process."""
    return sum(type(thing) in (Layer, LlamaDecoderLayer) for thing in gc.get_objects())


ON_DISK = dict.fromkeys(["model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"], "cpu") | {
    f"model.layers.{number}": "disk" for number in range(4)
}


@pytest.mark.parametrize("device_map", ["cpu", ON_DISK])
async def test_a_closed_engine_keeps_nothing_of_its_model(tiny_folder: Path, tmp_path: Path, device_map: Any) -> None:
    settings = ModelSettings(
        name=str(tiny_folder), device_map=device_map, offload_folder=str(tmp_path), context_tokens=256
    )
    gc.collect()  # what other tests have left
    before = layers()
    with closing(LocalEngine(settings)) as engine:
        await engine.load(lambda _: None)
        assert await collect(engine, Request(document="d", prefix=CODE, max_tokens=4))
        assert layers() == before + 4
    await engine.wait_closed()
    assert layers() == before
    assert engine.placement is None


async def test_a_load_that_is_given_up_keeps_nothing_of_what_was_read(tiny_folder: Path) -> None:
    gc.collect()  # what other tests have left
    before = layers()
    read: list[int] = []

    def give_up(progress: Progress) -> None:
        read.append(layers())
        if progress.done == 3:
            raise NotReadyError("It is given up.")

    with closing(LocalEngine(ModelSettings(name=str(tiny_folder)))) as engine:
        with pytest.raises(NotReadyError) as caught:
            await engine.load(give_up)
        assert read[-1] > before
        assert layers() == before
        assert caught.value.__traceback__
    await engine.wait_closed()


async def test_warming_that_is_given_up_ends_nothing_else(tiny_folder: Path) -> None:
    engine = LocalEngine(ModelSettings(name=str(tiny_folder), context_tokens=512))
    await engine.load(lambda _: None)
    warming = asyncio.create_task(engine.warm(Request(document="a", prefix="x = 1\n" * 100)))
    await asyncio.sleep(0)
    warming.cancel()
    async with asyncio.timeout(20):
        assert [chunk async for chunk in engine.complete(Request(document="b", prefix="y", max_tokens=2))]
    engine.close()
    await engine.wait_closed()


async def test_a_document_that_is_closed_gives_its_kv_cache_back(tiny_folder: Path) -> None:
    peer, runner = crowded(tiny_folder, full=())
    with closing(LocalEngine(ModelSettings(), lambda *_: runner)) as engine:
        await engine.load(lambda _: None)
        for document in ("one", "two"):
            await collect(engine, Request(document=document, prefix=CODE, max_tokens=4))
        assert peer.held == 2
        engine.forget("one")
        await collect(engine, Request(document="two", prefix=CODE, max_tokens=4))
        assert peer.held == 1
    await engine.wait_closed()


async def test_a_model_that_is_not_there_is_an_error_of_load() -> None:
    engine = LocalEngine(ModelSettings(name="/no/such/folder"))
    with pytest.raises(CheckpointError):
        await engine.load(lambda _: None)
    with pytest.raises(NotReadyError):
        await collect(engine, Request(document="d", prefix="a"))
    engine.close()


async def test_a_foreign_error_becomes_a_sentence_and_the_next_request_works(tiny_folder: Path) -> None:
    engine = await opened(tiny_folder)
    broken = Request(document="d", prefix=CODE, temperature=1.0, top_k=-1)
    with pytest.raises(EngineError, match="The model failed while completing"):
        await collect(engine, broken)
    assert await collect(engine, Request(document="d", prefix=CODE, max_tokens=4))
    engine.close()


async def test_what_comes_next_is_prepared_when_the_answer_is_out(tiny_folder: Path) -> None:
    peer, runner = crowded(tiny_folder, full=())
    with closing(LocalEngine(ModelSettings(), lambda *_: runner)) as engine:
        await engine.load(lambda _: None)
        assert await collect(engine, Request(document="d", prefix=CODE, max_tokens=4))
        assert await asyncio.to_thread(peer.prepared.wait, 60)
    assert peer.passes_when_prepared == peer.passes > 1
    await engine.wait_closed()
