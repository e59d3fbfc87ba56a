"""Over a real pipe: why nothing showed, what was cut and what it cost, and places where nothing is suggested."""

import asyncio
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from lsprotocol import types

from tests.lsp.clients import PATIENT, URI, Client, asking, end_of, started

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]


async def explained(client: Client, *arguments: Any) -> tuple[list[dict[str, Any]], str]:
    """Return the last requests, the newest first, and the page for people."""
    params = types.ExecuteCommandParams(command="shardline.explain", arguments=list(arguments) or None)
    answer: Any = await client.lsp.workspace_execute_command_async(params)
    return answer["requests"], answer["page"]


def kept(file: Path) -> tuple[str, int] | None:
    """Return what is in a file, and who may read it; None where it is gone."""
    return (file.read_text(encoding="utf-8"), file.stat().st_mode & 0o777) if file.exists() else None


async def test_what_was_generated_known_and_superseded_is_told() -> None:
    async with started(COMMAND, completion=PATIENT) as client:
        await client.until_settled()
        await client.ghost("say:x + 1")
        await client.lsp.text_document_inline_completion_async(asking("say:x + 1"))
        client.open("hang")
        old = client.lsp.protocol.send_request(types.TEXT_DOCUMENT_INLINE_COMPLETION, asking("hang"))
        await client.popup("say:y")
        await asyncio.wrap_future(old)
        requests, page = await explained(client, URI)
        assert [request["outcome"] for request in requests] == ["generated", "superseded", "known", "generated"]
        assert [request["kind"] for request in requests] == ["pop-up", "ghost text", "ghost text", "ghost text"]
        assert requests[-1]["text"] == "x + 1"
        assert requests[-1]["usage"]["completion_tokens"] == 5
        assert (requests[-1]["line"], requests[-1]["column"]) == (1, 10)
        assert all(request["milliseconds"] > 0 for request in requests)
        assert page.count("\n| ") == 2 + len(requests) - 1
        assert "` x + 1 `" in page


async def test_why_nothing_showed_is_told_in_words() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        for text in ("print(x)\nsay:)", "fail"):
            await client.ghost(text)
        client.configure(completion={"trigger": "manual"})
        await client.command("shardline.status")
        await client.ghost("say:x")
        requests, page = await explained(client)
        assert [request["outcome"] for request in requests] == ["skipped", "failed", "generated"]
        assert "completion.trigger is manual" in requests[0]["reason"]
        assert "The script says that this fails." in requests[1]["reason"]
        assert requests[2]["reason"]
        for request in requests:
            assert request["reason"] in page


async def test_an_editor_that_names_no_document_is_shown_the_page() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        await client.ghost("say:x + 1")
        await explained(client, URI)
        assert client.lsp.shown_documents == []
        _, page = await explained(client)
        [shown] = client.lsp.shown_documents
        file = Path(unquote(urlsplit(shown.uri).path))
        assert kept(file) == (page, 0o600)
        await explained(client)
        assert len(client.lsp.shown_documents) == 2
    assert kept(file) is None


async def test_an_editor_that_opens_nothing_is_told_where_the_page_is() -> None:
    async with started(COMMAND, editor="emacs") as client:
        await client.until_settled()
        await client.ghost("say:x + 1")
        _, page = await explained(client)
        [sentence] = client.messages
        assert kept(Path(sentence.removeprefix("It is in ").removesuffix("."))) == (page, 0o600)


async def test_what_was_never_asked_for_is_told_too() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        requests, page = await explained(client)
        assert requests == []
        assert "the editor sent no request" in page
        await client.ghost("say:x")
        assert (await explained(client, "file:///another.py"))[0] == []
        client.lsp.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(URI)))
        assert (await explained(client, URI))[0] == []


@pytest.mark.parametrize(("kind", "shown"), [(1, True), (2, False)])
async def test_by_hand_there_is_ghost_text_where_it_is_wished_only_so(kind: int, shown: bool) -> None:
    async with started(COMMAND, completion={"trigger": "manual"}) as client:
        await client.until_settled()
        assert bool(await client.ghost("say:x", kind=kind)) is shown


async def test_what_was_deleted_is_left_alone_where_that_is_wished() -> None:
    async with started(COMMAND, completion={"afterDeletion": False}) as client:
        await client.until_settled()
        client.open("say:xyz")
        for version, (start, end, text) in enumerate([(6, 7, ""), (6, 6, "z")], 2):
            spot = types.Range(types.Position(0, start), types.Position(0, end))
            change = types.TextDocumentContentChangePartial(range=spot, text=text)
            document = types.VersionedTextDocumentIdentifier(uri=URI, version=version)
            client.lsp.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
            params = asking("")
            params.position = end_of("say:xyz"[: start + len(text)])
            answer = await client.lsp.text_document_inline_completion_async(params)
            assert bool(answer) is bool(text)
