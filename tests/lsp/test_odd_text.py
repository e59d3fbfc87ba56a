"""Strings that are no text, or no URI: each request that has them is answered, and nothing fails but what has them."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lsp.clients import started
from tests.lsp.wire import GHOST, INVALID_PARAMS, METHOD_NOT_FOUND, URI, Wire, at, opened, talking

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
EXPLAIN = "workspace/executeCommand"
LONE = "\ud800"
URIS = [
    f"file:///{LONE}.py",
    "file:///a\0b.py",
    "file://[/a.py",
    "file:///%ff%fe%zz%00.py",
    "file:",
    "",
    "`` | `` [x](y)",
]


@pytest.mark.parametrize("uri", URIS)
async def test_a_document_of_any_name_is_completed_or_not_and_explained(uri: str, own_cache: Path) -> None:
    async with talking(COMMAND, stderr=asyncio.subprocess.PIPE) as wire:
        await wire.greet(rootUri=uri, rootPath=uri, workspaceFolders=[{"uri": uri, "name": uri}])
        wire.notify("textDocument/didOpen", opened("say:x", uri))
        assert isinstance(await wire.ask(GHOST, at(0, 5, uri)), list)
        answer = await wire.ask(EXPLAIN, {"command": "shardline.explain"})
        assert len(answer["requests"]) == 1
        assert written(own_cache) == [answer["page"]]
        await fails_nowhere(wire)


async def test_a_lone_surrogate_harms_nothing_wherever_it_is(own_cache: Path) -> None:
    async with talking(COMMAND, stderr=asyncio.subprocess.PIPE) as wire:
        await wire.greet(
            clientInfo={"name": LONE}, initializationOptions={LONE: LONE, "model": {"name": LONE, LONE: [LONE]}}
        )
        for uri, language, text in ((URI, LONE, "say:x"), ("file:///b.py", "python", f"# {LONE}\nsay:a{LONE}b")):
            document = {"uri": uri, "languageId": language, "version": 1, "text": text}
            wire.notify("textDocument/didOpen", {"textDocument": document})
        assert await wire.ask(GHOST, at(0, 5))
        (item,) = await wire.ask(GHOST, at(1, 99, "file:///b.py"))
        assert item["insertText"] == "a\ufffdb"
        wire.say({"jsonrpc": "2.0", "id": LONE, "method": LONE, "params": {LONE: LONE}})
        assert await wire.answer(LONE) == METHOD_NOT_FOUND
        wire.notify("$/cancelRequest", {"id": LONE})
        wire.notify("workspace/didChangeConfiguration", {"settings": {"shardline": {LONE: LONE}}})
        assert await wire.ask(EXPLAIN, {"command": LONE}) == INVALID_PARAMS
        assert await wire.ask(EXPLAIN, {"command": "shardline.explain", "arguments": [LONE]})
        assert await wire.ask(EXPLAIN, {"command": "shardline.accepted", "arguments": [LONE]}) is None
        await fails_nowhere(wire)


async def test_a_pair_of_surrogates_is_a_character() -> None:
    async with talking(COMMAND) as wire:
        await wire.greet()
        wire.notify("textDocument/didOpen", opened("say:\ud83d\ude00"))  # escaped, it is what clients send for it
        (item,) = await wire.ask(GHOST, at(0, 6))
        assert item["insertText"] == "😀"


def written(cache: Path) -> list[str]:
    return [page.read_text(encoding="utf-8") for page in cache.iterdir()]


async def fails_nowhere(wire: Wire) -> None:
    """Check that the server ends well, and that it and its log report no error of its own."""
    assert await wire.leave() == 0
    assert wire.process.stderr is not None
    log = (await wire.process.stderr.read()).decode()
    assert "Traceback" not in log
    assert "Error" not in log


async def test_what_the_user_is_told_is_one_line_without_links_and_control_characters() -> None:
    name = "held\x1b[2J\n[x](command:y)\u202e"
    async with started(COMMAND, editor="neovim", options={name: 1}, model={"name": name}) as client:
        await client.until("loading", message="Downloading")
        await client.command("test.release")
        status = await client.until("ready")
        shown: Any = [await client.command("shardline.status"), status.message, status.model, client.messages]
        for reports in client.lsp.progress_reports.values():
            shown.extend(report.message for report in reports)  # type: ignore[attr-defined]
        assert client.messages
        text = json.dumps(shown, ensure_ascii=False)
        assert "held [2J [x] (command:y)" in text
        assert not [part for part in ("\u202e", "\\n", "\\u", "](") if part in text]
