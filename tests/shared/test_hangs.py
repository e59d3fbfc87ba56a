"""Engines and launchers that hang: nobody waits for ever, no process is left."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest
from lsprotocol import types

from shardline.engine import Progress, Request
from shardline.engine.shared import control, launcher, registry
from shardline.engine.shared.engine import SharedEngine
from shardline.errors import AwayError
from shardline.settings import ModelSettings, Settings
from tests.lsp.clients import asking, started
from tests.shared.windows import CODE, COMMAND, ghost_of, settings, shardline, the_engine, window

pytestmark = pytest.mark.slow

GUARD = 120


def settings_for(folder: Path, context_tokens: int = 512) -> Settings:
    return Settings(model=ModelSettings(name=str(folder), context_tokens=context_tokens))


@contextmanager
def stopped(pid: int) -> Iterator[psutil.Process]:
    """Yield a process that hangs."""
    found = psutil.Process(pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield found
    finally:
        if found.is_running():
            found.kill()


@asynccontextmanager
async def within_guard() -> AsyncIterator[None]:
    async with asyncio.timeout(GUARD):
        yield


async def test_a_window_whose_engine_hangs_is_answered_by_the_next_and_others_are_not_kept(tiny_folder: Path) -> None:
    async with within_guard(), window(tiny_folder) as client:
        expected, hung = await ghost_of(client), the_engine()
        with stopped(hung.pid) as engine:
            other = f"{CODE} "
            client.open(other)
            asked = client.lsp.protocol.send_request(types.TEXT_DOCUMENT_INLINE_COMPLETION, asking(other))
            async with started(COMMAND, **settings(tiny_folder, contextTokens=256)) as second:
                assert (await second.until_settled()).state == "ready"
                assert await ghost_of(second)
            assert await asyncio.wrap_future(asked)
            assert not engine.is_running()
        assert await ghost_of(client) == expected
        assert hung not in registry.all_entries()
        assert any(str(registry.log_file(hung.id)) in message for message in client.messages)


async def test_one_that_hangs_while_it_loads_is_killed_and_lost(tiny_folder: Path) -> None:
    entry = await launcher.find_or_start(settings_for(tiny_folder), None)
    with stopped(entry.pid) as hung:
        engine = SharedEngine(settings_for(tiny_folder), silence=0.5)
        async with within_guard():
            with pytest.raises(AwayError, match="said nothing"):
                await engine.load(lambda _: None)
        assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE
    assert registry.find(entry.id) is None


async def test_what_is_asked_when_an_engine_hangs_is_answered_by_the_next(tiny_folder: Path) -> None:
    engine = SharedEngine(settings_for(tiny_folder), silence=3)
    request = Request(document="a", prefix=CODE, max_tokens=4)
    async with within_guard():
        await engine.load(lambda _: None)
        expected = [chunk.text async for chunk in engine.complete(request)]
        with stopped(the_engine().pid):
            waiting = asyncio.ensure_future(_texts(engine, request))
            assert isinstance(await engine.wait_lost(), AwayError)
        await engine.load(lambda _: None)
        assert await waiting == expected
        engine.close()
        await engine.wait_closed()


async def _texts(engine: SharedEngine, request: Request) -> list[str]:
    return [chunk.text async for chunk in engine.complete(request)]


async def test_a_window_that_leaves_an_engine_that_hangs_does_not_wait_for_it(tiny_folder: Path) -> None:
    engine = SharedEngine(settings_for(tiny_folder))
    await engine.load(lambda _: None)
    with stopped(the_engine().pid):
        engine.forget("a")
        engine.close()
        async with asyncio.timeout(control.SILENCE_SECONDS):
            await engine.wait_closed()


async def test_engines_that_hang_are_listed_and_stopped(tiny_folder: Path) -> None:
    entries = [
        await launcher.find_or_start(settings_for(tiny_folder, context_tokens=size), None) for size in (256, 512)
    ]
    first, second = entries
    with stopped(first.pid), stopped(second.pid):
        async with within_guard():
            code, text = await shardline("engines")
            assert (code, text.count("does not")) == (0, 2)
            code, text = await shardline("engines", "stop", "--all")
            assert (code, text.count("Stopped")) == (0, 2)
        assert registry.all_entries() == []


async def test_where_somebody_who_hangs_starts_an_engine_that_is_told(tiny_folder: Path) -> None:
    name = registry.identify(settings_for(tiny_folder).model)
    hold = f"from shardline.engine.shared import registry\nwith registry.starting('{name}'): print(flush=True); input()"
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", hold, stdin=pipe, stdout=pipe)
    assert holder.stdout
    await holder.stdout.readline()
    told: asyncio.Queue[Progress] = asyncio.Queue()
    with stopped(holder.pid):
        starting = asyncio.ensure_future(launcher.find_or_start(settings_for(tiny_folder), None, told.put_nowait))
        async with within_guard():
            activity = (await told.get()).activity
            assert f"process {holder.pid}" in activity
            assert f"{name}.lock" in activity
        os.kill(holder.pid, signal.SIGKILL)
        async with within_guard():
            assert (await starting).id == name
    await holder.wait()
