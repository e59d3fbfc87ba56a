"""Real language servers that share an engine process until the last one leaves."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest
from lsprotocol import types

from shardline.engine.shared import control, launcher, registry
from shardline.engine.shared.registry import Entry
from shardline.settings import ModelSettings, Settings
from tests.http.servers import SERVE, Server
from tests.http.servers import started as listening
from tests.lsp.clients import Client, asking, started
from tests.shared.kill import running_engines
from tests.shared.windows import CODE, COMMAND, ghost_of, settings, shardline, the_engine, window

pytestmark = pytest.mark.slow

GUARD = 60


async def has_ended(entry: Entry) -> None:
    assert await control.has_ended(entry, GUARD)


def libraries(process: psutil.Process) -> set[str]:
    return {Path(mapped.path).name for mapped in process.memory_maps()}


def servers() -> list[psutil.Process]:
    """Return the language servers that run, which this process has started, and not the engines, which they have."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in children if "shardline" in child.cmdline()]


async def test_two_windows_share_one_engine_and_suggest_the_same(tiny_folder: Path) -> None:
    async with window(tiny_folder) as one:
        entry = the_engine()
        async with window(tiny_folder) as other:
            assert the_engine() == entry
            assert await ghost_of(one) == await ghost_of(other)
            state = await control.ask_state(entry)
            assert (state["clients"], state["pid"]) == (2, entry.pid)
        assert await ghost_of(one)
        assert the_engine() == entry


async def test_it_suggests_what_an_engine_in_the_language_server_does(tiny_folder: Path) -> None:
    async with window(tiny_folder) as client:
        shared = await ghost_of(client)
        placed = (await client.command("shardline.plan"))["device_map"]
    within = {**settings(tiny_folder), "engine": {"mode": "inprocess"}}
    async with started(COMMAND, **within) as client:
        await client.until_settled()
        assert await ghost_of(client) == shared
        assert (await client.command("shardline.plan"))["device_map"] == placed


async def test_the_language_server_never_loads_torch(tiny_folder: Path) -> None:
    async with window(tiny_folder) as client:
        await ghost_of(client)
        (server,) = servers()
        assert "libtorch_cpu.so" not in libraries(server)
        assert "libtorch_cpu.so" in libraries(psutil.Process(the_engine().pid))


async def test_other_settings_of_the_model_have_another_engine(tiny_folder: Path) -> None:
    async with window(tiny_folder), window(tiny_folder, contextTokens=256), window(tiny_folder, tokens=4):
        pids = {entry.pid for entry in registry.all_entries()}
        assert len(pids) == 2


async def test_ten_windows_that_open_at_once_start_one_engine(tiny_folder: Path) -> None:
    async with AsyncExitStack() as stack:
        opening = [stack.enter_async_context(started(COMMAND, **settings(tiny_folder))) for _ in range(10)]
        windows = await asyncio.gather(*opening)
        for client in windows:
            assert (await client.until_settled()).state == "ready"
        assert (await control.ask_state(the_engine()))["clients"] == 10


async def test_an_engine_that_is_killed_is_started_again(tiny_folder: Path) -> None:
    async with window(tiny_folder) as client:
        before, killed = await ghost_of(client), the_engine()
        os.kill(killed.pid, signal.SIGKILL)
        failed = await client.until("failed")
        assert str(registry.log_file(killed.id)) in failed.message
        await client.until("ready")
        assert the_engine().pid != killed.pid
        assert await ghost_of(client) == before
        assert client.messages == [f"Shardline: {failed.message}"]


async def test_an_engine_that_is_killed_before_it_can_be_asked_is_started_again(tiny_folder: Path) -> None:
    async with started(COMMAND, **settings(tiny_folder)) as client:
        async with asyncio.timeout(GUARD):
            while not (engines := running_engines()):  # noqa: ASYNC110  nothing tells that a process has begun
                await asyncio.sleep(0)
        assert registry.all_entries() == []
        engines[0].kill()
        failed = await client.until("failed")
        assert failed.message.startswith("The engine was killed when it started.")
        await client.until("ready")
        assert await ghost_of(client)


async def test_one_that_hangs_when_it_starts_is_killed_when_nobody_waits_for_it(tiny_folder: Path) -> None:
    options = Settings(model=ModelSettings(name=str(tiny_folder)))
    starting = asyncio.ensure_future(launcher.find_or_start(options, None))
    async with asyncio.timeout(GUARD):
        while not (engines := running_engines()):  # noqa: ASYNC110  nothing tells that a process has begun
            await asyncio.sleep(0)
        engines[0].suspend()
        starting.cancel()
        await asyncio.wait([starting])
    assert starting.cancelled()
    engines[0].wait(GUARD)
    assert registry.all_entries() == []


async def test_who_waits_for_an_engine_that_is_killed_is_answered_by_the_next(tiny_folder: Path) -> None:
    async with window(tiny_folder) as client:
        expected = await ghost_of(client)
        os.kill(the_engine().pid, signal.SIGKILL)
        await client.command("shardline.status")
        other = f"{CODE} "
        client.open(other)
        asked = client.lsp.protocol.send_request(types.TEXT_DOCUMENT_INLINE_COMPLETION, asking(other))
        async with asyncio.timeout(GUARD):
            assert await asyncio.wrap_future(asked)
        assert await ghost_of(client) == expected


async def test_it_stays_a_while_for_whoever_comes_next_and_then_ends(tiny_folder: Path) -> None:
    async with window(tiny_folder) as client:
        await ghost_of(client)
        entry = the_engine()
    async with window(tiny_folder):
        assert the_engine() == entry
    async with window(tiny_folder, idle=0, contextTokens=256):
        short = the_engine()
    await has_ended(short)
    assert registry.all_entries() == []


async def test_windows_that_leave_while_it_loads_have_one_that_is_ready_in_the_end(tiny_folder: Path) -> None:
    async with started(COMMAND, **settings(tiny_folder)), asyncio.timeout(GUARD):
        while not (entries := registry.all_entries()):  # noqa: ASYNC110  nothing tells that it listens
            await asyncio.sleep(0.01)
        (left,) = entries
        assert not (await control.ask_state(left))["ready"]
    async with window(tiny_folder) as client:
        assert await ghost_of(client)
        assert the_engine() == left


async def test_a_window_that_changes_its_mind_while_one_loads_has_no_two(tiny_folder: Path) -> None:
    async with started(COMMAND, **settings(tiny_folder)) as client, asyncio.timeout(GUARD):
        while not (entries := registry.all_entries()):  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
        client.configure(**settings(tiny_folder, contextTokens=256))
        await client.until("ready")
        assert the_engine() not in entries


async def test_an_editor_that_is_killed_has_left_too(tiny_folder: Path) -> None:
    client = Client(**settings(tiny_folder, idle=0))
    await client.lsp.start_io(*COMMAND)
    capabilities = types.ClientCapabilities(experimental={"shardlineStatus": True})
    client.lsp.capabilities = capabilities
    await client.lsp.initialize_async(
        types.InitializeParams(capabilities=capabilities, initialization_options=settings(tiny_folder, idle=0))
    )
    client.lsp.initialized(types.InitializedParams())
    await client.until("ready")
    entry = the_engine()
    (server,) = servers()
    server.kill()
    await has_ended(entry)
    await client.lsp.stop()  # type: ignore[no-untyped-call]


async def test_one_that_nobody_uses_gives_way_to_another(tiny_folder: Path) -> None:
    async with window(tiny_folder):
        left = the_engine()
    async with window(tiny_folder, contextTokens=256) as client:
        used = the_engine()
        assert used.id != left.id  # which has ended
        async with window(tiny_folder):
            assert used in registry.all_entries()
        client.configure(**settings(tiny_folder))
        assert (await client.until_settled()).state == "ready"
        assert len(registry.all_entries()) == 2


@asynccontextmanager
async def served(folder: Path, *arguments: str) -> AsyncIterator[Server]:
    """`shardline serve` for the model of `settings`."""
    options = ("--model", str(folder), "--set", "model.contextTokens=512", *arguments)
    async with listening(*options, command=SERVE) as server:
        yield server


async def test_windows_use_what_is_served_to_others_and_leave_it_there(tiny_folder: Path) -> None:
    async with served(tiny_folder) as server:
        entry = the_engine()
        assert entry.pid == server.process.pid
        async with window(tiny_folder) as client:
            assert await ghost_of(client)
            assert (await control.ask_state(entry))["clients"] == 1
        async with window(tiny_folder, contextTokens=256) as client:
            assert await ghost_of(client)
            assert entry in registry.all_entries()
        ask = {"model": str(tiny_folder), "prompt": CODE, "max_tokens": 4}
        assert (await server.http.post("/v1/completions", json=ask)).status_code == 200
        assert (await shardline("engines", "stop", entry.id))[0] == 0
        assert (await server.ended())[0] == 0


@pytest.mark.parametrize("host", ["localhost", "::1"])
async def test_it_is_found_under_any_name_of_this_machine(host: str, tiny_folder: Path) -> None:
    async with served(tiny_folder, "--host", host) as server, window(tiny_folder) as client:
        assert await ghost_of(client)
        assert the_engine().pid == server.process.pid


async def test_a_window_and_what_is_served_may_start_at_once(tiny_folder: Path) -> None:
    async with AsyncExitStack() as stack:
        _, client = await asyncio.gather(
            stack.enter_async_context(served(tiny_folder)), stack.enter_async_context(window(tiny_folder))
        )
        assert await ghost_of(client)


async def test_what_is_served_takes_the_place_of_an_engine_that_nobody_uses(tiny_folder: Path) -> None:
    async with window(tiny_folder):
        left = the_engine()
    async with served(tiny_folder) as server:
        assert the_engine().pid == server.process.pid != left.pid


async def test_where_windows_have_an_engine_already_serving_it_too_is_told(tiny_folder: Path) -> None:
    async with window(tiny_folder) as client:
        entry = the_engine()
        async with served(tiny_folder) as server:
            assert the_engine() == entry
            server.process.terminate()
            _, errors = await server.ended()
        assert "runs already" in errors
        assert await ghost_of(client)


async def test_what_is_served_to_other_machines_is_not_for_windows(tiny_folder: Path) -> None:
    async with served(tiny_folder, "--host", "0.0.0.0") as server:  # noqa: S104  that is what it is about
        assert registry.all_entries() == []
        assert (await server.http.post("/engine/stop", json={})).status_code == 404


async def test_engines_are_listed_and_stopped_and_come_back_when_they_are_wanted(tiny_folder: Path) -> None:
    assert await shardline("engines") == (0, "No engine runs.\n")
    async with window(tiny_folder) as client:
        entry = the_engine()
        _, text = await shardline("engines", "--json")
        (told,) = json.loads(text)
        assert (told["id"], told["pid"], told["clients"], told["ready"]) == (entry.id, entry.pid, 1, True)
        assert entry.key not in text
        assert entry.id in (await shardline("engines"))[1]
        assert (await shardline("engines", "stop", "none"))[0] == 1
        code, text = await shardline("engines", "stop")
        assert (code, text) == (0, f"Stopped {entry.id}, {tiny_folder}.\n")
        failed = await client.until("failed")
        assert "shardline engines stop" in failed.message
        assert await client.ghost(CODE) == []
        await client.command("shardline.restart")
        assert (await client.until("ready")).state == "ready"
        assert await ghost_of(client)
        assert (await shardline("engines", "stop", "--all"))[0] == 0
        assert registry.all_entries() == []


@pytest.mark.parametrize("name", ["/no/such/folder"])
async def test_a_model_that_cannot_be_had_leaves_no_engine(name: str, tiny_folder: Path) -> None:
    async with started(COMMAND, **settings(Path(name))) as client:
        assert "model.name" in (await client.until_settled()).message
        client.configure(**settings(tiny_folder))
        assert (await client.until_settled()).state == "ready"
        assert the_engine().model == str(tiny_folder)
