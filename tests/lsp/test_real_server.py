"""The `shardline` command itself over a pipe and over TCP, with a real tiny model placed by a plan."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.clients import Client, asking, started
from tests.lsp.wire import framed

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "shardline"]
CODE = "def add(a, b):\n    return"


async def ghost_of(client: Client) -> str:
    items = await client.ghost(CODE)
    assert items
    return str(items[0].insert_text)


def settings(folder: Path, **model: Any) -> dict[str, Any]:
    return {"model": {"name": str(folder), "contextTokens": 512, **model}, "generation": {"maxTokens": 8}}


async def test_a_model_in_a_folder_is_placed_and_completes(tiny_folder: Path) -> None:
    async with started(COMMAND, **settings(tiny_folder)) as client:
        assert (await client.until_settled()).state == "ready"
        assert await ghost_of(client)
        plan = await client.command("shardline.plan")
        assert plan["fits"]
        assert [share["device"] for share in plan["devices"]] == ["cpu"]
        usage = (await client.command("shardline.status"))["usage"]
        assert usage["completion_tokens"] == 8
        assert usage["tokens_per_second"] > 0


async def test_typing_on_computes_only_what_is_new(tiny_folder: Path) -> None:
    async with started(COMMAND, **settings(tiny_folder)) as client:
        await client.until_settled()
        for end in range(len(CODE) - 8, len(CODE) + 1):
            await client.ghost(CODE[:end])
        usage = (await client.command("shardline.status"))["usage"]
        assert usage["prompt_tokens"] - usage["cached_tokens"] <= 3


async def test_sharded_over_cpu_and_disk_it_suggests_the_same(tiny_folder: Path, tmp_path: Path) -> None:
    async with started(COMMAND, **settings(tiny_folder)) as client:
        await client.until_settled()
        whole = await ghost_of(client)
    layers = {f"model.layers.{number}": "disk" if number % 2 else "cpu" for number in range(4)}
    rest = dict.fromkeys(["model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"], "cpu")
    sharded = settings(tiny_folder, deviceMap=layers | rest, offloadFolder=str(tmp_path / "offload"))
    async with started(COMMAND, **sharded) as client:
        assert (await client.until_settled()).state == "ready"
        assert (await client.command("shardline.plan"))["device_map"]["model.layers.1"] == "disk"
        assert await ghost_of(client) == whole


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"name": "/no/such/folder"}, "model.name"),
        ({"maxMemory": {"cpu": "10KiB"}}, "model.maxMemory"),
        ({"maxMemory": {"63": "80GiB"}}, "model.maxMemory"),
        ({"deviceMap": {"model": "cpu"}}, "model.deviceMap"),
        ({"deviceMap": "disk", "offloadFolder": "/dev/null/x"}, "model.offloadFolder"),
    ],
)
async def test_what_is_wrong_is_one_sentence_and_mended_by_its_setting(
    tiny_folder: Path, bad: dict[str, Any], named: str
) -> None:
    async with started(COMMAND, **settings(tiny_folder, **bad)) as client:
        failed = await client.until_settled()
        assert failed.state == "failed"
        assert named in failed.message
        assert "Traceback" not in failed.message
        assert client.messages == [f"Shardline: {failed.message}"]
        assert not await client.ghost(CODE)
        client.configure(**settings(tiny_folder))
        assert (await client.until_settled()).state == "ready"
        assert await ghost_of(client)


async def test_a_size_that_cannot_be_read_is_reported_at_once_and_the_default_holds(tiny_folder: Path) -> None:
    async with started(COMMAND, **settings(tiny_folder, maxMemory={"cpu": "much"})) as client:
        assert (await client.until_settled()).state == "ready"
        (said,) = client.messages
        assert "model.maxMemory: 'much' for cpu is no size" in said
        assert await ghost_of(client)


async def test_flags_are_the_base_and_the_clients_settings_win(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "shardline.toml"
    file.write_text(f'[model]\nname = "{tiny_folder}"\n[generation]\nmaxTokens = 3\n')
    command = [*COMMAND, "--config", str(file), "--set", "model.contextTokens=256"]
    async with started(command) as client:
        assert (await client.until_settled()).model == str(tiny_folder)
        await client.ghost(CODE)
        assert (await client.command("shardline.status"))["usage"]["completion_tokens"] == 3
        client.configure(generation={"maxTokens": 5})
        await client.command("shardline.status")
        await client.ghost(CODE)
        assert (await client.command("shardline.status"))["usage"]["completion_tokens"] == 5


async def test_a_running_generation_ends_when_its_request_is_cancelled(tiny_folder: Path) -> None:
    long: dict[str, Any] = {**settings(tiny_folder), "generation": {"maxTokens": 256}}
    async with started(COMMAND, **long) as client:
        await client.until_settled()
        client.open(CODE)
        request = client.lsp.protocol.send_request(
            types.TEXT_DOCUMENT_INLINE_COMPLETION, asking(CODE), msg_id="cancelled"
        )
        client.lsp.cancel_request(types.CancelParams(id="cancelled"))
        with pytest.raises(Exception, match="cancel"):
            await asyncio.wrap_future(request)
        assert await ghost_of(client)


async def listening(*flags: str) -> tuple[asyncio.subprocess.Process, int, str]:
    """Return a server that listens, its port and its token."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *flags, "--tcp", "127.0.0.1:0", stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode()
    assert line.startswith("Listening on 127.0.0.1:")
    address, _, token = line.partition("; token ")
    return process, int(address.rpartition(":")[2]), token.strip()


async def test_it_speaks_over_tcp_and_ends_with_its_client(tiny_folder: Path) -> None:
    process, port, token = await listening("--model", str(tiny_folder))
    client = Client()
    await client.lsp.start_tcp("127.0.0.1", port)
    capabilities = types.ClientCapabilities(experimental={"shardlineStatus": True})
    client.lsp.capabilities = capabilities
    options = {"token": token, "generation": {"maxTokens": 8}}
    await client.lsp.initialize_async(types.InitializeParams(capabilities=capabilities, initialization_options=options))
    client.lsp.initialized(types.InitializedParams())
    assert (await client.until_settled()).state == "ready"
    assert await ghost_of(client)
    assert client.messages == []
    await client.lsp.shutdown_async(None)
    client.lsp.exit(None)
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    await client.lsp.stop()  # type: ignore[no-untyped-call]
    assert isinstance(client.lsp.protocol.writer, asyncio.StreamWriter)
    client.lsp.protocol.writer.close()  # which pygls leaves open
    await client.lsp.protocol.writer.wait_closed()


async def test_a_tcp_client_that_vanishes_ends_the_server(tiny_folder: Path) -> None:
    process, port, token = await listening("--model", str(tiny_folder))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    params = {"processId": None, "capabilities": {}, "initializationOptions": {"token": token}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    writer.write(framed(json.dumps(message).encode()))
    await reader.readline()
    writer.close()
    async with asyncio.timeout(20):
        assert await process.wait() == 1
