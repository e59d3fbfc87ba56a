"""The engine contract over HTTP, with a scripted engine behind a real server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import uvicorn

from shardline.engine import Chunk, Engine, FinishReason, Progress, Report, Request
from shardline.engine.scripted import ScriptedEngine
from shardline.engine.shared import control, registry
from shardline.engine.shared.engine import SharedEngine
from shardline.engine.shared.h11_client import Connection
from shardline.errors import AwayError, CheckpointError, GenerationError, NotReadyError, ShardlineError
from shardline.http import engine_api
from shardline.http.app import Access, make_app
from shardline.settings import ModelSettings, Settings

SETTINGS = Settings(model=ModelSettings(name="scripted"))
KEY = "the key of this test"
HELLO = Request(document="a.py", prefix="hello", stop=("!",))
SLOW = Request(document="a.py", prefix="slow")


def say(request: Request) -> str:
    if request.prefix == "fail":
        raise GenerationError("The script says that this fails.")
    return f"{request.prefix}, world! And more."


class Loaded(ScriptedEngine):
    """Is loaded when `may_load` is set, or fails by `why_not`; says one character of `slow`, and hangs."""

    def __init__(self) -> None:
        super().__init__(say, self.hold)
        self.may_load = asyncio.Event()
        self.why_not: ShardlineError | None = None
        self.ended = asyncio.Event()
        self.may_load.set()
        self._letters = 0
        self.loaded = 0

    async def hold(self, request: Request) -> None:
        self._letters += request.prefix == "slow"
        try:
            if self._letters > 1:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.set()
            raise

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:
        await super().load(report, beside=beside)
        self.loaded += 1
        report(Progress(activity="Reading", done=1, total=2, unit="layers"))
        await self.may_load.wait()
        if self.why_not:
            raise self.why_not

    def forget(self, document: str) -> None:
        super().forget(document)
        self.ended.set()


@asynccontextmanager
async def serving(engine: Loaded, *, idle: float | None = None) -> AsyncIterator[uvicorn.Server]:
    """Yield a server of `engine`, which is found by whoever looks for one with these settings."""

    def end(_: object) -> None:
        server.should_exit = True

    app = make_app(engine, SETTINGS, Access(key=KEY, idle=idle), routes=engine_api.routes, on_end=end)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([listener]))
    with registry.registered(SETTINGS.model, url=f"http://127.0.0.1:{listener.getsockname()[1]}", key=KEY):
        try:
            yield server
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def shared(report: Report = lambda _: None) -> AsyncIterator[SharedEngine]:
    engine = SharedEngine(SETTINGS)
    try:
        await engine.load(report)
        yield engine
    finally:
        engine.close()
        await engine.wait_closed()


async def chunks_of(engine: Engine, request: Request) -> list[Chunk]:
    return [chunk async for chunk in engine.complete(request)]


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await true():
            pass


async def clients() -> Any:
    (entry,) = registry.all_entries()
    return (await control.ask_state(entry))["clients"]


async def test_what_it_says_comes() -> None:
    async with serving(Loaded()) as _, shared() as engine:
        *_, last = chunks = await chunks_of(engine, HELLO)
        assert "".join(chunk.text for chunk in chunks) == "hello, world"
        assert (last.finish_reason, last.usage.completion_tokens) == (FinishReason.STOP, 12)
        assert engine.infills


async def test_many_ask_at_once_and_one_after_the_other() -> None:
    async with serving(Loaded()) as _, shared() as engine:
        for _ in range(3):
            answers = await asyncio.gather(*(chunks_of(engine, HELLO) for _ in range(5)))
            assert all("".join(chunk.text for chunk in answer) == "hello, world" for answer in answers)


async def test_an_error_is_the_same_error() -> None:
    async with serving(Loaded()) as _, shared() as engine:
        with pytest.raises(GenerationError, match="The script says that this fails"):
            await chunks_of(engine, Request(document="a.py", prefix="fail"))
        assert await chunks_of(engine, HELLO)


async def test_who_leaves_a_stream_ends_it() -> None:
    behind = Loaded()
    async with serving(behind) as _, shared() as engine:
        async with aclosing(engine.complete(SLOW)) as chunks:
            assert (await anext(chunks)).text == "s"
        async with asyncio.timeout(20):
            await behind.ended.wait()
        assert len(behind.cancelled) == 1


async def test_the_rest_of_the_contract() -> None:
    behind = Loaded()
    async with serving(behind) as _, shared() as engine:
        await engine.warm(HELLO)
        assert [request.prefix for request in behind.warmed] == ["hello"]
        engine.forget("a.py")
        async with asyncio.timeout(20):
            await behind.ended.wait()
        assert behind.forgotten == [behind.warmed[0].document]


async def test_documents_are_each_clients_own_and_forgotten_with_it() -> None:
    behind = Loaded()
    async with serving(behind) as _, shared() as one:
        async with shared() as other:
            await chunks_of(one, HELLO)
            await chunks_of(other, HELLO)
            assert await clients() == 2
            mine, theirs = (request.document for request in behind.requests)
            assert mine != theirs
        async with asyncio.timeout(20):
            await behind.ended.wait()
        assert behind.forgotten == [theirs]
        assert await clients() == 1


async def test_loading_is_told_to_all_who_wait_for_it() -> None:
    behind = Loaded()
    behind.may_load.clear()
    told = 0

    def report(progress: Progress) -> None:
        nonlocal told
        told += progress.activity == "Reading"
        if told == 2:
            behind.may_load.set()

    async with serving(behind):
        await asyncio.gather(*(load_and_leave(report) for _ in range(2)))


class Quick(Loaded):
    """Comes so far at once, and says so when somebody waits for it."""

    activities = ("Downloading", "Reading", "Warming up")

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:
        await super().load(report, beside=beside)
        for activity in self.activities:
            for done in range(3):
                report(Progress(activity=activity, done=done, total=2))


async def test_of_each_activity_the_end_is_told_though_all_came_at_once() -> None:
    behind, told = Quick(), list[Progress]()
    behind.may_load.clear()

    def report(progress: Progress) -> None:
        told.append(progress)
        behind.may_load.set()

    async with serving(behind), shared(report):
        ends = [progress.activity for progress in told if progress.done == progress.total]
        assert ends == [*behind.activities]


async def load_and_leave(report: Report) -> None:
    async with shared(report):
        pass


async def test_a_model_that_cannot_be_loaded_is_told_with_its_reason() -> None:
    behind = Loaded()
    behind.why_not = CheckpointError("model.name: there is none.")
    behind.may_load.clear()
    async with serving(behind) as server:
        with pytest.raises(CheckpointError, match="there is none"):
            await SharedEngine(SETTINGS).load(lambda _: behind.may_load.set())
        assert server.should_exit


async def leave_while_it_loads() -> None:
    def leave(_: Progress) -> None:
        loading.cancel()

    loading = asyncio.create_task(load_and_leave(leave))
    await asyncio.wait([loading])
    assert loading.cancelled()


async def test_an_engine_that_is_left_while_it_loads_is_there_for_whoever_comes_next() -> None:
    behind = Loaded()
    behind.may_load.clear()
    async with serving(behind) as server:
        await leave_while_it_loads()

        async def is_left() -> bool:
            return bool(await clients() == 0)

        await until(is_left)
        assert not server.should_exit
        behind.may_load.set()
        async with shared() as engine:
            assert await chunks_of(engine, HELLO)
    assert behind.loaded == 1


async def test_an_engine_that_is_left_while_it_loads_makes_room_for_another() -> None:
    behind = Loaded()
    behind.may_load.clear()
    async with serving(behind) as server:
        await leave_while_it_loads()
        (entry,) = registry.all_entries()
        assert await asked_to_stop(entry, unused=True)
        assert server.should_exit


async def test_an_engine_that_is_left_while_it_loads_stays_no_longer_than_it_may_be_idle() -> None:
    behind = Loaded()
    behind.may_load.clear()
    async with serving(behind, idle=0) as server:
        await leave_while_it_loads()

        async def ends() -> bool:
            await asyncio.sleep(0)
            return server.should_exit

        await until(ends)


async def test_before_it_is_loaded_and_after_it_was_closed_nothing_can_be_asked() -> None:
    async with serving(Loaded()):
        async with shared() as engine:
            assert engine.placement is None
        with pytest.raises(NotReadyError):
            await chunks_of(engine, HELLO)
        with pytest.raises(NotReadyError):
            await engine.warm(HELLO)


async def test_one_that_is_lost_is_told_and_may_be_loaded_again() -> None:
    engine = SharedEngine(SETTINGS)
    async with serving(Loaded()):
        await engine.load(lambda _: None)
    assert isinstance(await engine.wait_lost(), AwayError)
    waiting = asyncio.create_task(chunks_of(engine, HELLO))
    async with serving(Loaded()):
        await engine.load(lambda _: None)
        assert "".join(chunk.text for chunk in await waiting) == "hello, world"
        engine.close()
        await engine.wait_closed()


async def test_one_that_is_lost_while_it_answers_is_told_of_once() -> None:
    engine = SharedEngine(SETTINGS)
    async with serving(Loaded()):
        await engine.load(lambda _: None)
        stream = engine.complete(SLOW)
        assert (await anext(stream)).text == "s"
    with pytest.raises(NotReadyError) as raised:
        await anext(stream)
    assert not isinstance(raised.value, AwayError)
    assert isinstance(await engine.wait_lost(), AwayError)


async def test_one_that_was_stopped_is_told_not_to_be_loaded_again() -> None:
    async with serving(Loaded()), shared() as engine:
        (entry,) = registry.all_entries()
        assert not (await asked_to_stop(entry, unused=True))
        assert await asked_to_stop(entry, unused=False)
        lost = await engine.wait_lost()
        assert isinstance(lost, NotReadyError)
        assert not isinstance(lost, AwayError)
        with pytest.raises(NotReadyError, match="shardline engines stop"):
            await chunks_of(engine, HELLO)


async def asked_to_stop(entry: registry.Entry, *, unused: bool) -> Any:
    connection = await Connection.open(entry)
    try:
        return (await connection.ask("POST", "/engine/stop", {"unused": unused}))["stops"]
    finally:
        connection.close()
