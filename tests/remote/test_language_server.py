"""The language server with remote servers: changed, away, back, and with a fallback."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from shardline.engine.shared import control, registry
from tests.lsp.clients import started
from tests.remote.remotes import GUARD_SECONDS, Peer, serving
from tests.remote.windows import COMMAND, QUIET, ghost

pytestmark = pytest.mark.slow

CODE = "def add(a, b):\n    return"


def settings(url: str, folder: Path, **remote: Any) -> dict[str, Any]:
    model = {"name": str(folder), "contextTokens": 256}
    return {"model": model, "remote": {"baseUrl": url, **remote}, "completion": QUIET}


def other(number: int) -> str:
    """Return a line that nothing is known of."""
    return f"x{number} = {number}  # say: and {number}"


async def doctor(url: str) -> tuple[int | None, str]:
    command = [*COMMAND, "doctor", "--set", f"remote.baseUrl={url}"]
    surroundings = {**os.environ, "COLUMNS": "300"}
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=surroundings)
    output, _ = await child.communicate()
    return child.returncode, output.decode()


async def test_doctor_says_what_is_there(tiny_folder: Path, tmp_path: Path) -> None:
    async with serving("sglang", tmp_path, tiny_folder) as there:
        code, said = await doctor(there.url)
        assert f"{there.url}: sglang with tiny, 512 tokens of context" in said
        assert code == 0
    code, said = await doctor(there.url)
    assert "cannot be reached" in said
    assert code == 1


@pytest.fixture
async def peer(tiny_folder: Path, tmp_path: Path) -> Any:
    async with serving("vllm", tmp_path, tiny_folder) as started_peer:
        yield started_peer


async def test_a_remote_is_taken_and_left_while_the_server_runs(peer: Peer, tiny_folder: Path) -> None:
    async with started(COMMAND, **settings(peer.url, tiny_folder)) as client:
        assert (await client.until_settled()).model == peer.url
        assert await ghost(client) == " and more"
        client.configure(**settings("", tiny_folder))
        assert (await client.until_settled()).model == str(tiny_folder)
        assert await ghost(client, CODE)
        client.configure(**settings(peer.url, tiny_folder, model="tiny"))
        assert (await client.until_settled()).model == "tiny"
        assert await ghost(client) == " and more"
        client.configure(**settings(peer.url, tiny_folder, model="large"))
        failed = await client.until("failed")
        assert "has no large; it has tiny. Until the settings change, suggestions come from tiny" in failed.message
        assert await ghost(client, other(1)) == " and 1"


async def test_one_that_is_not_there_yet_is_found_when_it_comes(peer: Peer, tiny_folder: Path) -> None:
    await peer.kill()
    async with started(COMMAND, **settings(peer.url, tiny_folder)) as client:
        failed = await client.until_settled()
        assert failed.state == "failed"
        assert failed.message.startswith(f"The server at {peer.url} cannot be reached")
        assert client.messages == [f"Shardline: {failed.message}"]
        assert await ghost(client) == ""
        await peer.start()
        await client.until("ready")
        assert await ghost(client) == " and more"


async def test_one_that_goes_away_is_told_once_until_it_is_back(peer: Peer, tiny_folder: Path) -> None:
    async with started(COMMAND, **settings(peer.url, tiny_folder)) as client:
        await client.until("ready")
        assert await ghost(client) == " and more"
        await peer.kill()
        assert await ghost(client, other(1)) == ""
        assert (await client.until("failed")).message == client.messages[0].removeprefix("Shardline: ")
        assert await ghost(client, other(2)) == ""
        assert len(client.messages) == 1
        await peer.start()
        assert await ghost(client, other(3)) == " and 3"
        await client.until("ready")


async def test_the_model_of_this_machine_stands_in_until_it_is_back(peer: Peer, tiny_folder: Path) -> None:
    await peer.kill()
    async with started(COMMAND, **settings(peer.url, tiny_folder, fallback="local")) as client:
        await client.until("ready")
        assert (await client.command("shardline.plan"))["fits"]
        assert await ghost(client, CODE)
        await peer.start()
        async with asyncio.timeout(GUARD_SECONDS):
            while await client.command("shardline.plan"):
                pass  # until it is found
        assert await ghost(client, other(1)) == " and 1"
        await peer.kill()
        assert await ghost(client, other(2)) == ""
        await client.until("failed")
        async with asyncio.timeout(GUARD_SECONDS):
            while not await ghost(client, CODE.replace("add", "sub")):
                pass  # until the stand-in is there
        await client.until("ready")
        assert client.messages[0].startswith(f"Shardline: The server at {peer.url} cannot be reached")


async def test_windows_share_the_model_that_stands_in_and_another_comes_where_it_is_killed(
    peer: Peer, tiny_folder: Path, own_runtime: None
) -> None:
    await peer.kill()
    options = settings(peer.url, tiny_folder, fallback="local")
    async with started(COMMAND, **options) as one, started(COMMAND, **options) as two:
        for client in (one, two):
            await client.until("ready")
        (entry,) = registry.all_entries()
        assert (await control.ask_state(entry))["clients"] == 2
        said = await ghost(one, CODE)
        os.kill(entry.pid, signal.SIGKILL)
        for client in (one, two):
            assert str(registry.log_file(entry.id)) in (await client.until("failed")).message
            await client.until("ready")
        (another,) = registry.all_entries()
        assert another.pid != entry.pid
        assert said == await ghost(two, CODE)
