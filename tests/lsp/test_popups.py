"""Over a real pipe: a pop-up is answered in time, for editors hold other servers' items back until then."""

import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.clients import URI, Client, asking, end_of, started

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
HELD = "hold say:x + 1"
BLOCK = "if stall: say:\\n    a = 1\\n    b = 2"


async def popup_again(client: Client, text: str) -> types.CompletionList:
    """Ask at the end of a document that is open."""
    params = types.CompletionParams(types.TextDocumentIdentifier(URI), end_of(text))
    answer = await client.lsp.text_document_completion_async(params)
    assert isinstance(answer, types.CompletionList)
    return answer


async def test_a_pop_up_does_not_wait_for_a_slow_model_and_has_what_was_made_meanwhile_when_asked_again() -> None:
    async with started(COMMAND, completion={"popupBudget": 1}) as client:
        await client.until_settled()
        early = await client.popup(HELD)
        assert (early.is_incomplete, list(early.items)) == (True, [])
        await client.command("test.release")
        assert await client.lsp.text_document_inline_completion_async(asking(HELD))  # which waits until it is made
        assert [item.label for item in (await popup_again(client, HELD)).items] == ["1x + 1"]
        (engine,) = await client.command("test.engines")
        assert (list(engine["requests"]), engine["cancelled"]) == ([HELD], 0)


async def test_a_pop_up_shows_the_lines_that_are_complete_when_its_time_is_up() -> None:
    async with started(COMMAND, completion={"popupBudget": 1000, "timeBudget": 60_000}) as client:
        await client.until_settled()
        (item,) = (await client.popup(BLOCK)).items
        assert isinstance(item.text_edit, types.TextEdit)
        assert item.text_edit.new_text.endswith("\n    a = 1")


async def test_what_a_pop_up_had_no_time_for_goes_on_to_be_made_for_the_next_key() -> None:
    async with started(COMMAND, completion={"popupBudget": 1}) as client:
        await client.until_settled()
        await client.popup(HELD)
        await client.command("test.release")
        change = types.TextDocumentContentChangePartial(types.Range(end_of(HELD), end_of(HELD)), "x")
        document = types.VersionedTextDocumentIdentifier(uri=URI, version=2)
        client.lsp.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
        (ghost,) = await client.lsp.text_document_inline_completion_async(asking(HELD + "x"))  # type: ignore[misc]
        assert ghost.insert_text == " + 1"
        (engine,) = await client.command("test.engines")
        assert (list(engine["requests"]), engine["cancelled"]) == ([HELD], 0)


async def test_the_history_tells_that_a_pop_up_had_been_answered_before() -> None:
    async with started(COMMAND, completion={"popupBudget": 1}) as client:
        await client.until_settled()
        await client.popup(HELD)
        await client.command("test.release")
        await client.lsp.text_document_inline_completion_async(asking(HELD))
        entry = (await client.command("shardline.explain"))["requests"][-1]
        assert (entry["kind"], entry["text"]) == ("pop-up", "x + 1")
        assert "completion.popupBudget" in entry["reason"]


@pytest.mark.parametrize("editor", ["visual-studio-code", "neovim"])
async def test_pop_ups_are_asked_for_where_a_block_or_a_value_begins(editor: str) -> None:
    async with started(COMMAND, editor=editor) as client:
        await client.until_settled()
        static = client.capabilities.completion_provider
        options = {registration.method: registration.register_options for registration in client.registered.values()}
        later: Any = options.get(types.TEXT_DOCUMENT_COMPLETION)
        triggers = static.trigger_characters if static else later["triggerCharacters"]
        assert {":", " ", "\n", "."} <= set(triggers or ())
