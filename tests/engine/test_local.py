"""The engine in its own thread: it streams, is cancelled by its task, and maps every failure to a sentence."""

import asyncio
import threading
from contextlib import closing
from pathlib import Path

import pytest

from shardline.engine import Progress, Request
from shardline.engine.local import LocalEngine
from shardline.errors import CheckpointError, EngineError, NotReadyError
from shardline.settings import ModelSettings
from tests.engine.crowded import crowded

CODE = "def add(a, b):\n    return a + b\n"


async def collect(engine: LocalEngine, request: Request) -> str:
    return "".join([chunk.text async for chunk in engine.complete(request)])


async def opened(folder: Path) -> LocalEngine:
    engine = LocalEngine(ModelSettings(name=str(folder), context_tokens=512))
    await engine.load(lambda _: None)
    return engine


async def test_it_loads_with_progress_and_streams(tiny_folder: Path) -> None:
    told: list[Progress] = []
    engine = LocalEngine(ModelSettings(name=str(tiny_folder)))
    assert engine.placement == {}
    await engine.load(told.append)
    assert told[-1].activity == "Warming up"
    assert engine.placement["fits"]
    chunks = [chunk async for chunk in engine.complete(Request(document="d", prefix=CODE, max_tokens=8))]
    assert len(chunks) > 2
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


async def test_closing_while_it_loads_ends_the_loading(tiny_folder: Path) -> None:
    engine = LocalEngine(ModelSettings(name=str(tiny_folder)))

    def close(progress: Progress) -> None:
        assert progress.activity.startswith("Loading")  # nothing is told after that
        engine.close()

    with pytest.raises(NotReadyError, match="closed while it was loading"):
        await engine.load(close)
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
