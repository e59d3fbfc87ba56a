"""Over a real pipe: the model comes, is replaced, fails and goes, and completions are offered while there is one."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from shardline.lsp.client.editor import Editor
from shardline.lsp.client.profiles import VSCODE
from tests.lsp.clients import GHOST_TEXT, URI, Client, asking, started

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
POPUP, GHOST = types.TEXT_DOCUMENT_COMPLETION, types.TEXT_DOCUMENT_INLINE_COMPLETION
BOTH_COME, BOTH_GO = [f"+ {POPUP}", f"+ {GHOST}"], [f"- {POPUP}", f"- {GHOST}"]


def model(name: str, **more: Any) -> dict[str, Any]:
    return {"model": {"name": name, **more}}


async def events(client: Client) -> list[str]:
    return list(await client.command("test.events"))


async def text_of(client: Client, text: str) -> str:
    items = await client.ghost(text)
    assert items
    return str(items[0].insert_text)


async def offers(client: Client) -> list[str]:
    """Return the registrations of completions by now, in order."""
    await client.command("shardline.status")  # whose answer comes after all that was sent before
    return [event for event in client.events if event in (*BOTH_COME, *BOTH_GO)]


async def test_completions_are_offered_when_the_model_is_ready_and_before_that_is_told() -> None:
    async with started(COMMAND, **model("held")) as client:
        await client.until("loading", message="Downloading")
        assert client.capabilities.completion_provider is None
        assert client.capabilities.inline_completion_provider is None
        assert await offers(client) == []
        await client.command("test.release")
        await client.until("ready")
        assert [event for event in client.events if event != f"+ {types.WORKSPACE_DID_CHANGE_CONFIGURATION}"] == [
            "loading",
            *BOTH_COME,
            "ready",
        ]


async def test_they_are_taken_back_when_the_model_is_and_offered_again_when_it_is_there_again() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        await client.command("shardline.restart")
        await client.until_settled()
        assert await offers(client) == [*BOTH_COME, *BOTH_GO, *BOTH_COME]
        client.configure(**model("large"))
        await client.until_settled()
        assert await offers(client) == [*BOTH_COME, *BOTH_GO] * 2 + BOTH_COME


async def test_a_model_that_cannot_be_had_offers_nothing() -> None:
    async with started(COMMAND, **model("missing")) as client:
        assert (await client.until_settled()).state == "failed"
        assert await offers(client) == []


async def test_they_stay_offered_while_a_model_that_answers_is_replaced() -> None:
    async with started(COMMAND, **model("first")) as client:
        await client.until_settled()
        client.configure(**model("second"))
        await client.until_settled()
        client.configure(**model("missing"))
        await client.until_settled()
        assert await offers(client) == BOTH_COME


@pytest.mark.parametrize("editor", ["neovim", "emacs"])
async def test_who_cannot_be_told_later_is_told_at_once(editor: str) -> None:
    async with started(COMMAND, editor=editor, **model("held")) as client:
        static = client.capabilities
        assert static.completion_provider
        assert static.completion_provider.trigger_characters
        assert bool(static.inline_completion_provider) == (editor in GHOST_TEXT)
        await client.until("loading", message="Downloading")
        assert await client.ghost("say:x") == []
        await client.command("test.release")
        await client.until("ready")
        assert await offers(client) == []
    async with started(COMMAND) as client:
        await client.until_settled()
        options = {registration.method: registration.register_options for registration in client.registered.values()}
        assert options[POPUP] == {
            "documentSelector": None,
            "triggerCharacters": list(static.completion_provider.trigger_characters),
        }
        assert options[GHOST] == {"documentSelector": None}


async def test_each_of_the_two_is_offered_in_the_way_that_is_declared_for_it() -> None:
    assert VSCODE.capabilities.text_document
    document = types.TextDocumentClientCapabilities(
        completion=types.CompletionClientCapabilities(dynamic_registration=True),
        inline_completion=types.InlineCompletionClientCapabilities(),
    )
    capabilities = types.ClientCapabilities(text_document=document, experimental={"shardlineStatus": True})
    async with Editor(COMMAND, capabilities=capabilities) as editor:
        result = await editor.initialize()
        assert result.capabilities.completion_provider is None
        assert result.capabilities.inline_completion_provider
        await editor.ready()
        assert list(editor.registered) == [POPUP]


async def test_an_editor_may_ask_as_soon_as_the_model_is_ready() -> None:
    async with Editor(COMMAND, capabilities=VSCODE.capabilities) as editor:
        await editor.initialize()
        await editor.ready()
        assert {POPUP, GHOST} <= set(editor.registered)


@pytest.mark.parametrize("refused", [POPUP, GHOST])
async def test_a_client_that_refuses_one_of_them_has_the_other(refused: str) -> None:
    async with started(COMMAND, refuses=[refused]) as client:
        assert (await client.until_settled()).state == "ready"
        assert set(await offers(client)) == set(BOTH_COME) - {f"+ {refused}"}
        assert await text_of(client, "say:x") == "x"


async def test_a_client_that_never_answers_waits_for_nothing() -> None:
    async with started(COMMAND, **model("held")) as client:
        await client.until("loading", message="Downloading")
        asked = asyncio.Event()
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def silent(_: Any) -> None:
            asked.set()
            await never

        for method in (types.CLIENT_REGISTER_CAPABILITY, types.CLIENT_UNREGISTER_CAPABILITY):
            client.lsp.protocol.fm.features.pop(method)
            client.lsp.feature(method)(silent)
        await client.command("test.release")
        await client.until("ready")
        await asked.wait()
        assert await text_of(client, "say:x") == "x"
        await client.command("shardline.restart")
        await client.until("ready")
        assert await text_of(client, "say:y") == "y"
        never.set_result(None)


async def test_the_old_model_answers_until_the_new_one_is_ready() -> None:
    async with started(COMMAND, **model("first")) as client:
        await client.until_settled()
        client.configure(**model("held"))
        await client.until("loading", message="Downloading held")
        assert await text_of(client, "say:x") == "x"
        client.configure(**model("held"), generation={"maxTokens": 7})
        await client.command("shardline.status")
        assert await text_of(client, "say:y") == "y"
        await client.command("test.release")
        await client.until("ready")
        assert await text_of(client, "say:z") == "z"
        first, held = await client.command("test.engines")
        assert (first["requests"], first["max_tokens"], first["closed"]) == (["say:x", "say:y"], [64, 7], True)
        assert (held["requests"], held["max_tokens"], held["closed"]) == (["say:z"], [7], False)
        assert await events(client) == [
            "load first",
            "loaded first",
            "load held beside first",
            "loaded held",
            "close first",
        ]


async def test_where_there_is_no_room_for_both_the_old_one_is_gone_before_the_new_one_comes() -> None:
    async with started(COMMAND, **model("first")) as client:
        await client.until_settled()
        client.configure(**model("large"))
        assert (await client.until_settled()).model == "large"
        assert await events(client) == [
            *("load first", "loaded first"),
            *("load large beside first", "close first", "free first"),
            *("load large", "loaded large"),
        ]


async def test_who_waits_for_the_old_model_is_answered_by_the_new_one() -> None:
    async with started(COMMAND, **model("first")) as client:
        await client.until_settled()
        client.open("hang:first")
        waiting = client.lsp.protocol.send_request(GHOST, asking("hang:first"))
        client.configure(**model("second"))
        await client.until_settled()
        (item,) = await asyncio.wrap_future(waiting)
        assert item.insert_text == "nothing"
        first, second = await client.command("test.engines")
        assert (first["cancelled"], second["requests"]) == (1, ["hang:first"])


async def test_where_the_new_model_fails_the_old_one_goes_on_and_the_status_says_so() -> None:
    async with started(COMMAND, **model("first")) as client:
        await client.until_settled()
        client.configure(**model("missing"))
        failed = await client.until_settled()
        assert failed.state == "failed"
        assert failed.message == (
            "model.name: there is no model 'missing'. Until the settings change, suggestions come from first as before."
        )
        assert client.messages == [f"Shardline: {failed.message}"]
        assert await text_of(client, "say:x") == "x"
        client.configure(**model("first"))
        assert (await client.until("ready")).model == "first"
        assert [engine["closed"] for engine in await client.command("test.engines")] == [False, True]


async def test_of_many_changes_only_the_last_model_is_loaded_and_nothing_of_the_others_stays() -> None:
    async with started(COMMAND, **model("first")) as client:
        await client.until_settled()
        for number in range(20):
            client.configure(**model(f"held-{number}"))
            await client.until("loading", message=f"held-{number}")
        await client.command("test.release")
        assert (await client.until("ready")).model == "held-19"
        happened = await events(client)
        assert [event for event in happened if event.startswith("loaded")] == ["loaded first", "loaded held-19"]
        assert [event for event in happened if event.startswith("load ")].count("load held-19 beside first") == 1
        *others, last = await client.command("test.engines")
        assert [engine["closed"] for engine in others] == [True] * len(others)
        assert not last["closed"]
        for engine in others[1:]:
            assert happened.index(f"free {engine['name']}") < happened.index("load held-19 beside first")


async def test_settings_changed_back_while_the_new_model_loads_leave_the_old_one() -> None:
    async with started(COMMAND, **model("first")) as client:
        await client.until_settled()
        client.configure(**model("held"))
        await client.until("loading", message="Downloading")
        client.configure(**model("first"))
        assert (await client.until("ready")).model == "first"
        await client.command("test.release")
        assert await text_of(client, "say:x") == "x"
        assert [engine["closed"] for engine in await client.command("test.engines")] == [False, True]


async def test_a_restart_while_another_model_loads_takes_both_away() -> None:
    async with started(COMMAND, **model("first")) as client:
        await client.until_settled()
        client.configure(**model("held"))
        await client.until("loading", message="Downloading")
        await client.command("shardline.restart")
        await client.command("test.release")
        assert (await client.until("ready")).model == "held"
        assert [engine["closed"] for engine in await client.command("test.engines")] == [True, True, False]


async def test_a_document_that_is_closed_is_forgotten_by_the_engine() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        await client.ghost("say:x")
        client.lsp.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(URI)))
        (engine,) = await client.command("test.engines")
        assert engine["forgotten"] == [URI]
