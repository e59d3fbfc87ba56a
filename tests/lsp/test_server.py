"""The server over a real pipe, a scripted engine behind it: every request is answered, and the user is told."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from shardline.lsp.client.buffer import Buffer
from shardline.lsp.client.editor import CAPABILITIES, Editor
from shardline.lsp.client.profiles import NEOVIM
from tests.lsp.clients import GHOST_TEXT, PATIENT, URI, Client, asking, end_of, started

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
EDITORS = ["visual-studio-code", "neovim", "emacs"]


async def engines(client: Client) -> list[Any]:
    return list(await client.command("test.engines"))


@pytest.mark.parametrize("editor", EDITORS)
async def test_pop_ups_and_to_those_who_declare_it_ghost_text_are_advertised_and_answered(editor: str) -> None:
    async with started(COMMAND, editor=editor) as client:
        assert client.capabilities.execute_command_provider
        commands = set(client.capabilities.execute_command_provider.commands)
        assert {"shardline.status", "shardline.plan", "shardline.restart"} <= commands
        assert (await client.until_settled()).state == "ready"
        offered = {registration.method for registration in client.registered.values()}
        ghost_text = client.capabilities.inline_completion_provider or types.TEXT_DOCUMENT_INLINE_COMPLETION in offered
        assert bool(ghost_text) == (editor in GHOST_TEXT)
        assert client.capabilities.completion_provider or types.TEXT_DOCUMENT_COMPLETION in offered
        ghost = await client.ghost("x = 1\ny = say: x + 1")
        assert ghost is not None
        assert [item.insert_text for item in ghost] == [" x + 1"]
        popup = await client.popup("x = 1\ny = say: x + 1")
        assert [item.label for item in popup.items] == ["1 x + 1"]
        assert popup.is_incomplete


async def test_the_suggestion_follows_the_edits() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        client.open("say:a")
        insert = types.TextDocumentContentChangePartial(
            range=types.Range(types.Position(0, 4), types.Position(0, 5)), text="🎉b"
        )
        document = types.VersionedTextDocumentIdentifier(uri=URI, version=2)
        client.lsp.text_document_did_change(types.DidChangeTextDocumentParams(document, [insert]))
        answer = await client.lsp.text_document_inline_completion_async(asking("say:🎉b"))
        assert [item.insert_text for item in answer] == ["🎉b"]  # type: ignore[union-attr]


async def test_loading_is_shown_as_progress() -> None:
    async with started(COMMAND, editor="neovim") as client:
        await client.until_settled()
        (reports,) = client.lsp.progress_reports.values()
        kinds = [report.kind for report in reports]  # type: ignore[attr-defined]
        assert (kinds[0], kinds[-1]) == ("begin", "end")


async def test_a_cancelled_request_is_answered_and_its_generation_ends() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        client.open("hang")
        request = client.lsp.protocol.send_request(
            types.TEXT_DOCUMENT_INLINE_COMPLETION, asking("hang"), msg_id="to-be-cancelled"
        )
        client.lsp.cancel_request(types.CancelParams(id="to-be-cancelled"))
        with pytest.raises(JsonRpcException) as caught:
            await asyncio.wrap_future(request)
        assert caught.value.code == -32800
        assert await client.ghost("say:x")
        (engine,) = await engines(client)
        assert engine["cancelled"] == 1


async def test_the_newest_request_wins_and_the_others_are_answered() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        sent = []
        for text in [*(f"# {number} hang" for number in range(20)), "say:last"]:
            client.open(text)
            sent.append(client.lsp.protocol.send_request(types.TEXT_DOCUMENT_INLINE_COMPLETION, asking(text)))
        *superseded, last = await asyncio.gather(*map(asyncio.wrap_future, sent))
        assert superseded == [None] * 20
        assert [item.insert_text for item in last] == ["last"]


async def test_ghost_text_and_pop_up_of_one_place_share_one_generation() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        client.open("hang")
        popup = types.CompletionParams(types.TextDocumentIdentifier(URI), end_of("hang"))
        both = [
            client.lsp.protocol.send_request(types.TEXT_DOCUMENT_INLINE_COMPLETION, asking("hang")),
            client.lsp.protocol.send_request(types.TEXT_DOCUMENT_COMPLETION, popup),
        ]
        assert await client.ghost("say:newer")
        ghost, listed = await asyncio.gather(*map(asyncio.wrap_future, both))
        assert ghost is None
        assert listed.items == ()
        assert (await engines(client))[0]["requests"] == ["hang", "say:newer"]


async def test_what_a_request_cost_is_told_with_its_id_and_only_to_those_who_declare_it() -> None:
    told: list[tuple[str, int]] = []

    def take(number: str, usage: Mapping[str, int]) -> None:
        told.append((number, usage["completion_tokens"]))

    asked = []
    for capabilities in (CAPABILITIES, NEOVIM.capabilities):
        async with Editor(COMMAND, capabilities=capabilities, on_usage=take) as editor:
            await editor.initialize()
            await editor.ready()
            buffer = Buffer(uri=URI, language="python", text="say:abc", cursor=7, encoding="utf-8")
            editor.open(URI, "python", buffer.text)
            number, answer = editor.ask(NEOVIM.method, NEOVIM.params(buffer))
            await asyncio.wrap_future(answer)
            asked.append(number)
    assert told == [(asked[1], 3)]


async def test_asked_by_hand_there_are_several_and_else_there_is_one() -> None:
    async with started(COMMAND, completion={"candidates": 2}) as client:
        await client.until_settled()
        automatic, by_hand = await client.ghost("say:a|b|c", kind=2), await client.ghost("say:a|b|c", kind=1)
        assert automatic is not None
        assert by_hand is not None
        assert [item.insert_text for item in automatic] == ["a"]
        assert [item.insert_text for item in by_hand] == ["a", "b"]


async def test_ghost_text_goes_on_behind_the_chosen_pop_up_item() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        client.open("x = sa")
        params = asking("x = sa")
        chosen = types.Range(types.Position(0, 4), types.Position(0, 6))
        params.context.selected_completion_info = types.SelectedCompletionInfo(chosen, "say:(y)")
        answer = await client.lsp.text_document_inline_completion_async(params)
        assert isinstance(answer, list)
        (item,) = answer
        assert (item.insert_text, item.range) == ("say:(y)(y)", chosen)


async def test_settings_arrive_on_each_way_and_the_later_wins() -> None:
    memory = {"0": "5GiB", "cpu": "1GiB"}
    options = {"model": {"name": "first", "maxMemory": memory}, "generation": {"maxTokens": 11}}
    async with started(COMMAND, options=options, generation={"maxTokens": 22}) as client:
        await client.until_settled()
        await client.ghost("say:x")
        (engine,) = await engines(client)
        assert engine["name"] == "first"
        assert engine["max_tokens"] == [22]
        assert engine["max_memory"] == {"0": 5 * 2**30, "cpu": 2**30}
        client.configure(generation={"maxTokens": 33})
        await client.command("shardline.status")
        await client.ghost("say:y")
        assert (await engines(client))[0]["max_tokens"] == [22, 33]


async def test_settings_that_are_pushed_are_taken_too() -> None:
    async with started(COMMAND, editor="emacs") as client:
        await client.until_settled()
        pushed = {"shardline": {"model": {"name": "second"}}}
        client.lsp.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings=pushed))
        assert (await client.until_settled()).model == "second"
        first, second = await engines(client)
        assert first["closed"]
        assert not second["closed"]


async def test_bad_settings_are_told_in_words_and_the_default_holds() -> None:
    async with started(COMMAND, generation={"maxTokens": "many"}, model={"trustRemoteCode": True}) as client:
        await client.until_settled()
        assert await client.ghost("say:x")
        assert (await engines(client))[0]["max_tokens"] == [64]
        (message,) = client.messages
        assert "generation.maxTokens must be a whole number" in message
        assert "Shardline never runs code that comes with a model" in message


async def test_a_model_that_cannot_be_loaded_is_told_once_and_mended_by_its_setting() -> None:
    async with started(COMMAND, model={"name": "missing"}) as client:
        failed = await client.until_settled()
        assert failed.state == "failed"
        assert failed.message == "model.name: there is no model 'missing'."
        assert not await client.ghost("say:x")
        assert (await client.popup("say:x")).items == ()
        assert client.messages == ["Shardline: model.name: there is no model 'missing'."]
        client.configure(model={"name": "found"})
        assert (await client.until_settled()).state == "ready"
        ghost = await client.ghost("say:x")
        assert ghost is not None
        assert ghost[0].insert_text == "x"


async def test_an_engine_that_fails_is_told_once_and_the_server_stays() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        assert not await client.ghost("fail")
        assert not await client.ghost("and again fail")
        assert client.messages == ["Shardline: The script says that this fails."]
        assert await client.ghost("say:x")


async def test_restart_loads_the_model_anew() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        await client.command("shardline.restart")
        assert (await client.until_settled()).state == "ready"
        assert [engine["closed"] for engine in await engines(client)] == [True, False]
        assert (await client.command("shardline.status"))["state"] == "ready"


async def test_what_a_library_prints_does_not_disturb_the_protocol() -> None:
    async with started(COMMAND, model={"name": "noisy"}) as client:
        assert (await client.until_settled()).state == "ready"
        assert await client.ghost("say:x")


async def test_documents_that_are_not_open_get_no_suggestion() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        assert not await client.lsp.text_document_inline_completion_async(asking("x"))
        params = types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(0, 0))
        answer = await client.lsp.text_document_completion_async(params)
        assert answer.items == ()  # type: ignore[union-attr]


async def test_documentation_is_plain_where_the_client_cannot_highlight() -> None:
    kinds = {}
    for editor in EDITORS:
        async with started(COMMAND, editor=editor, completion=PATIENT) as client:
            await client.until_settled()
            (item,) = (await client.popup("say:x")).items
            kinds[editor] = type(item.documentation)
    assert kinds == {"visual-studio-code": types.MarkupContent, "neovim": types.MarkupContent, "emacs": str}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["utf-8"], "utf-8"), (["utf-32", "utf-16"], "utf-32"), (["latin-1", "utf-16"], "utf-16"), ([], "utf-16")],
)
async def test_positions_are_in_the_encoding_that_was_agreed(offered: list[str], chosen: str) -> None:
    client = Client()
    await client.lsp.start_io(*COMMAND)
    general = types.GeneralClientCapabilities(position_encodings=offered or None)
    capabilities = types.ClientCapabilities(general=general, experimental={"shardlineStatus": True})
    client.lsp.capabilities = capabilities
    result = await client.lsp.initialize_async(types.InitializeParams(capabilities=capabilities))
    assert result.capabilities.position_encoding == chosen
    client.lsp.initialized(types.InitializedParams())
    await client.until_settled()
    client.open("🎉 = say:x")
    width = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[chosen]
    params = asking("")
    params.position = types.Position(0, width + len(" = say:x"))
    answer = await client.lsp.text_document_inline_completion_async(params)
    assert [item.insert_text for item in answer] == ["x"]  # type: ignore[union-attr]
    await client.lsp.shutdown_async(None)
    client.lsp.exit(None)
    await client.lsp.stop()  # type: ignore[no-untyped-call]


async def raw_server(*messages: bytes) -> tuple[int, bytes, bytes]:
    """Run a server on `messages` and then silence; returns its exit code, what it answered and what it logged."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=pipe, stderr=pipe)
    framed = b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(message), message) for message in messages)
    async with asyncio.timeout(30):
        answers, log = await process.communicate(framed)
    assert process.returncode is not None
    return process.returncode, answers, log


INITIALIZE = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"capabilities":{},"rootUri":null}}'
)
SHUTDOWN = b'{"jsonrpc":"2.0","id":2,"method":"shutdown"}'
EXIT = b'{"jsonrpc":"2.0","method":"exit"}'
KIND_0 = (
    b'{"jsonrpc":"2.0","id":3,"method":"textDocument/inlineCompletion","params":{"context":{"triggerKind":0},'
    b'"textDocument":{"uri":"file:///a.py"},"position":{"line":0,"character":0}}}'
)


async def test_trigger_kind_0_of_old_clients_is_no_error() -> None:
    code, answers, _ = await raw_server(INITIALIZE, KIND_0, SHUTDOWN, EXIT)
    assert code == 0
    assert (
        b'"id": 3, "result": []' in answers.replace(b'"jsonrpc": "2.0", ', b"") or b'"result": [], "id": 3' in answers
    )
    assert b'"error"' not in answers


async def test_the_exit_code_says_whether_the_client_took_its_leave() -> None:
    assert (await raw_server(INITIALIZE, SHUTDOWN, EXIT))[0] == 0
    assert (await raw_server(INITIALIZE, EXIT))[0] == 1


async def test_a_client_that_vanishes_ends_the_server() -> None:
    assert (await raw_server(INITIALIZE))[0] == 1


async def test_users_code_is_not_logged() -> None:
    secret = b"my_secret_code"
    opening = (
        b'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":'
        b'{"uri":"file:///a.py","languageId":"python","version":1,"text":"%s"}}}' % secret
    )
    broken = (
        b'{"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///a.py"},'
        b'"contentChanges":[{"text":"%s","range":7}]}}' % secret
    )
    _, _, log = await raw_server(INITIALIZE, opening, broken, SHUTDOWN, EXIT)
    assert secret not in log
