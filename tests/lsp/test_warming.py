"""Over a real pipe: what is opened and typed is read ahead where the user works, and a request finds it read."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.clients import URI, Client, asking, end_of, started

pytestmark = pytest.mark.slow

SCRIPTED = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
LOCAL = [sys.executable, str(Path(__file__).with_name("warming_server.py"))]
CODE = "def add(a, b):\n    return a + b\n\n\n" * 5


async def warmed(client: Client) -> list[str]:
    """Return the text before and after the place where the engine has read ahead, the next time it has."""
    async with asyncio.timeout(60):
        return list(await client.command("test.warmed"))


def insert(client: Client, at: types.Position, text: str) -> None:
    change = types.TextDocumentContentChangePartial(range=types.Range(at, at), text=text)
    document = types.VersionedTextDocumentIdentifier(uri=URI, version=2)
    client.lsp.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))


async def unread(client: Client, text: str) -> int:
    """How many tokens of the prompt at the end of `text` had to be read when it was asked for."""
    await client.lsp.text_document_inline_completion_async(asking(text))
    usage = (await client.command("shardline.status"))["usage"]
    assert usage["prompt_tokens"] > 30
    return int(usage["prompt_tokens"] - usage["cached_tokens"])


def settings(folder: Path) -> dict[str, Any]:
    return {"model": {"name": str(folder), "contextTokens": 512}, "generation": {"maxTokens": 8}}


async def test_what_is_opened_is_read_before_it_is_asked_for(tiny_folder: Path) -> None:
    async with started(LOCAL, **settings(tiny_folder)) as client:
        await client.until_settled()
        client.open(CODE)
        await warmed(client)
        assert await unread(client, CODE) <= 3


async def test_what_was_opened_before_the_model_was_ready_is_read_when_it_is(tiny_folder: Path) -> None:
    async with started(LOCAL, **settings(tiny_folder)) as client:
        client.open(CODE)
        await warmed(client)
        assert await unread(client, CODE) <= 3


async def test_what_was_typed_is_read_when_typing_pauses(tiny_folder: Path) -> None:
    async with started(LOCAL, **settings(tiny_folder)) as client:
        await client.until_settled()
        client.open("x = 1\n")
        await warmed(client)
        insert(client, types.Position(0, 0), CODE)
        assert await warmed(client) == [CODE, "x = 1\n"]
        assert await unread(client, CODE) <= 3


async def test_only_the_document_that_was_opened_last_is_read() -> None:
    async with started(SCRIPTED, model={"name": "missing"}) as client:
        await client.until_settled()
        for number in range(20):
            client.open(f"# {number}")
        client.configure(model={"name": "found"})
        await client.until_settled()
        assert await warmed(client) == ["", "# 19"]
        assert [engine["warmed"] for engine in await client.command("test.engines")] == [0, 1]


async def test_a_document_that_was_closed_is_not_read() -> None:
    async with started(SCRIPTED, model={"name": "missing"}) as client:
        await client.until_settled()
        client.open("# closed")
        closed = types.TextDocumentIdentifier(URI)
        client.lsp.text_document_did_close(types.DidCloseTextDocumentParams(closed))
        client.configure(model={"name": "found"})
        await client.until_settled()
        client.open("# open")
        assert await warmed(client) == ["", "# open"]
        assert [engine["warmed"] for engine in await client.command("test.engines")] == [0, 1]


async def test_it_is_read_where_the_last_change_ended() -> None:
    async with started(SCRIPTED) as client:
        await client.until_settled()
        client.open("🎉 = 1\n")
        assert await warmed(client) == ["", "🎉 = 1\n"]
        insert(client, end_of("🎉 = "), "2\n🎉 + ")
        assert await warmed(client) == ["🎉 = 2\n🎉 + ", "1\n"]


async def test_what_cannot_be_read_ahead_disturbs_nobody() -> None:
    async with started(SCRIPTED) as client:
        await client.until_settled()
        client.open("unreadable")
        await warmed(client)
        assert await client.ghost("say:x")
        assert client.messages == []
