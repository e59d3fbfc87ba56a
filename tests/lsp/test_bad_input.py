"""What no client should say: the server answers as the specification has it, once, and goes on working."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.lsp.wire import (
    CANCELLED,
    GHOST,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_INITIALIZED,
    PARSE_ERROR,
    URI,
    Wire,
    at,
    changed,
    framed,
    opened,
    span,
    talking,
)

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Yield a server that was greeted."""
    async with talking(COMMAND) as wire:
        await wire.greet()
        yield wire


async def works(wire: Wire) -> None:
    """Check that a normal request is answered rightly."""
    wire.notify("textDocument/didOpen", opened("say:yes", "file:///work/normal.py"))
    (item,) = await wire.ask(GHOST, at(0, 7, "file:///work/normal.py"))
    assert item["insertText"] == "yes"


BAD_MESSAGES = [
    ("not JSON", framed(b"{hello}"), [PARSE_ERROR]),
    ("not UTF-8", framed(b'{"jsonrpc":"2.0","method":"\xff"}'), [PARSE_ERROR]),
    ("too deep", framed(b"[" * 200_000), [PARSE_ERROR]),
    ("a number too long", framed(b"9" * 10_000), [PARSE_ERROR]),
    ("nothing", framed(b""), [PARSE_ERROR]),
    ("a batch", framed(b'[{"jsonrpc":"2.0","id":9,"method":"shutdown"}]'), [INVALID_REQUEST]),
    ("no object", framed(b"7"), [INVALID_REQUEST]),
    ("no method", framed(b'{"jsonrpc":"2.0"}'), [INVALID_REQUEST]),
    ("no version", framed(b'{"method":"exit"}'), [INVALID_REQUEST]),
    ("a method that is none", framed(b'{"jsonrpc":"2.0","method":[]}'), [INVALID_REQUEST]),
    ("an id that is none", framed(b'{"jsonrpc":"2.0","id":{},"method":"shutdown"}'), [INVALID_REQUEST]),
    ("an answer that nobody asked for", framed(b'{"jsonrpc":"2.0","id":0,"result":1}'), []),
    ("an error that nobody asked for", framed(b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}'), []),
    ("an unknown notification", framed(b'{"jsonrpc":"2.0","method":"$/hello","params":[1]}'), []),
    ("a request without an id", framed(b'{"jsonrpc":"2.0","method":"shutdown"}'), []),
    ("nothing to cancel", framed(b'{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":99}}'), []),
    ("no id to cancel", framed(b'{"jsonrpc":"2.0","method":"$/cancelRequest"}'), []),
    ("no document", framed(b'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":7}}'), []),
    ("a type", b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n" + framed(b"{}"), [INVALID_REQUEST]),
    ("small letters", framed(b'{"jsonrpc":"2.0","method":"$/hello"}').lower(), []),
]


async def test_what_is_no_message_is_answered_without_an_id_and_does_no_harm(wire: Wire) -> None:
    answered = {}
    for name, data, _ in BAD_MESSAGES:
        wire.raw(data)
        await works(wire)
        answered[name] = wire.answers.pop(None, [])
    assert answered == {name: errors for name, _, errors in BAD_MESSAGES}
    assert "window/showMessage" not in wire.notified


BAD_REQUESTS: list[tuple[str, Any, int]] = [
    ("no/such/method", {}, METHOD_NOT_FOUND),
    ("textDocument/hover", at(0, 0), METHOD_NOT_FOUND),
    ("textDocument/didOpen", opened("x"), METHOD_NOT_FOUND),
    ("window/showMessage", {"type": 1, "message": "x"}, METHOD_NOT_FOUND),
    ("initialize", {"processId": None, "rootUri": None, "capabilities": {}}, INVALID_REQUEST),
    ("workspace/executeCommand", {"command": "no.such.command"}, INVALID_PARAMS),
    ("workspace/executeCommand", {}, INVALID_PARAMS),
    (GHOST, None, INVALID_PARAMS),
    (GHOST, [], INVALID_PARAMS),
    (GHOST, {}, INVALID_PARAMS),
    (GHOST, at(-1, 0), INVALID_PARAMS),
    (GHOST, at("0", 0), INVALID_PARAMS),
    (GHOST, at(0, None), INVALID_PARAMS),
    (GHOST, at(0, 2**31), INVALID_PARAMS),
    (GHOST, {**at(0, 0), "textDocument": {"uri": 7}}, INVALID_PARAMS),
    (GHOST, {**at(0, 0), "context": {"triggerKind": 7}}, INVALID_PARAMS),
    ("textDocument/completion", {"textDocument": {"uri": URI}}, INVALID_PARAMS),
]


async def test_requests_that_cannot_be_answered_get_the_error_that_says_why(wire: Wire) -> None:
    sent = [wire.request(method, params) for method, params, _ in BAD_REQUESTS]
    await works(wire)
    assert [wire.answers[number] for number in sent] == [[code] for *_, code in BAD_REQUESTS]
    wire.say({"jsonrpc": "2.0", "id": "text", "method": "no/params"})
    assert await wire.answer("text") == METHOD_NOT_FOUND


@pytest.mark.parametrize("position", [(2**31 - 1, 2**31 - 1), (0, 2**31 - 1), (1, 0)])
async def test_a_position_beyond_the_document_is_its_end(wire: Wire, position: tuple[int, int]) -> None:
    wire.notify("textDocument/didOpen", opened("say:end"))
    (item,) = await wire.ask(GHOST, at(*position))
    assert item["insertText"] == "end"


async def test_ranges_may_be_reversed_or_huge(wire: Wire) -> None:
    wire.notify("textDocument/didOpen", opened("one\ntwo\nthree"))
    wire.notify("textDocument/didChange", changed({"range": span(1, 3, 0, 3), "text": ""}))
    wire.notify(
        "textDocument/didChange", changed({"range": span(1, 2, 9, 2**31 - 1), "text": "say:x", "rangeLength": 10**6})
    )
    await wire.ask(GHOST, at(1, 9))
    (engine,) = await wire.ask("workspace/executeCommand", {"command": "test.engines"})
    assert engine["requests"] == ["one\nthsay:x"]


async def test_a_change_that_cannot_be_read_makes_the_document_unknown(wire: Wire) -> None:
    for spot in (7, span(0, 0, 0, 2**31), {"start": {"line": 0}}):
        wire.notify("textDocument/didOpen", opened("say:x"))
        assert await wire.ask(GHOST, at(0, 5))
        wire.notify("textDocument/didChange", changed({"range": spot, "text": "y"}))
        assert await wire.ask(GHOST, at(0, 5)) == []


async def test_before_initialize_there_is_nothing_but_initialize() -> None:
    async with talking(COMMAND) as wire:
        wire.notify("textDocument/didOpen", opened("say:x"))
        wire.notify("workspace/didChangeConfiguration", {"settings": {}})
        assert await wire.ask(GHOST, at(0, 5)) == NOT_INITIALIZED
        assert await wire.ask("shutdown") == NOT_INITIALIZED
        assert await wire.ask("initialize", {"capabilities": 7}) == INVALID_PARAMS
        await wire.greet()
        assert await wire.ask(GHOST, at(0, 5)) == []  # what was opened before was not heard
        await works(wire)


async def test_after_shutdown_there_is_nothing_but_exit(wire: Wire) -> None:
    waiting = [wire.request(GHOST, at(0, 4)), wire.request("workspace/executeCommand", {"command": "test.warmed"})]
    wire.notify("textDocument/didOpen", opened("hang"))
    waiting.append(wire.request(GHOST, at(0, 4)))
    assert await wire.ask("shutdown") is None
    assert await wire.ask(GHOST, at(0, 4)) == INVALID_REQUEST
    assert await wire.ask("shutdown") == INVALID_REQUEST
    assert [wire.answers[number] for number in waiting] == [[[]], [CANCELLED], [CANCELLED]]
    wire.notify("exit")
    assert await wire.process.wait() == 0


async def test_clients_may_know_more_kinds_of_things_than_we() -> None:
    async with talking(COMMAND) as wire:
        await wire.greet(
            {
                "workspace": {"symbol": {"symbolKind": {"valueSet": [1, 999]}}},
                "textDocument": {"completion": {"completionItemKind": {"valueSet": [1, 999]}}},
                "general": {"positionEncodings": ["utf-7", "utf-8"]},
            }
        )
        await works(wire)


async def test_an_id_that_is_waited_for_is_not_given_again(wire: Wire) -> None:
    wire.notify("textDocument/didOpen", opened("hang"))
    for _ in range(2):
        wire.say({"jsonrpc": "2.0", "id": "same", "method": GHOST, "params": at(0, 4)})
    assert await wire.answer("same") == INVALID_REQUEST
    wire.say({"jsonrpc": "2.0", "id": "same", "result": ["mine"]})  # it cannot answer itself either
    wire.notify("$/cancelRequest", {"id": "same"})
    await works(wire)
    assert wire.answers["same"] == [INVALID_REQUEST, CANCELLED]


@pytest.mark.parametrize(
    "answer", [{"result": 7}, {"result": {"x": []}}, {"error": "bad"}, {"error": None, "result": None}]
)
async def test_what_the_server_asks_may_be_answered_wrongly_or_not_at_all(answer: dict[str, Any]) -> None:
    async with talking(COMMAND) as wire:
        asks = {"workspace": {"configuration": True}, "window": {"workDoneProgress": True}}
        capabilities = {**asks, "experimental": {"shardlineStatus": True}}
        await wire.ask("initialize", {"processId": None, "capabilities": capabilities})
        wire.notify("initialized", {})
        for method in ("workspace/configuration", "window/workDoneProgress/create"):
            await wire.until(lambda method=method: method in wire.wanted)
            wire.say({"jsonrpc": "2.0", "id": wire.wanted[method], **answer})
            wire.notify("$/cancelRequest", {"id": wire.wanted[method]})
            wire.say({"jsonrpc": "2.0", "id": wire.wanted[method], **answer})
        await wire.until(lambda: "ready" in wire.notified)
        await works(wire)


async def test_what_the_server_asks_is_not_the_clients_to_cancel() -> None:
    async with talking(COMMAND) as wire:
        capabilities = {"workspace": {"configuration": True}, "experimental": {"shardlineStatus": True}}
        await wire.ask("initialize", {"processId": None, "capabilities": capabilities})
        wire.notify("initialized", {})
        await wire.until(lambda: "workspace/configuration" in wire.wanted)
        number = wire.wanted["workspace/configuration"]
        wire.notify("$/cancelRequest", {"id": number})
        wire.say({"jsonrpc": "2.0", "id": number, "result": [{"model": {"name": "missing"}}]})
        await wire.until(lambda: "failed" in wire.notified)  # because that was heard


async def test_a_thousand_requests_at_once_are_answered_and_the_last_one_wins(wire: Wire) -> None:
    sent = []
    for number in range(1000):
        wire.notify("textDocument/didOpen", opened(f"# {number} hang"))
        sent.append(wire.request(GHOST, at(0, 99)))
    wire.notify("textDocument/didOpen", opened("say:last"))
    (item,) = await wire.ask(GHOST, at(0, 99))
    assert item["insertText"] == "last"
    assert [wire.answers[number] for number in sent] == [[None]] * 1000


async def test_a_client_that_says_all_before_it_reads_is_answered() -> None:
    requests = [{"jsonrpc": "2.0", "id": number, "method": "no/such", "params": "x" * 900} for number in range(2000)]
    said = b"".join(framed(json.dumps(message).encode()) for message in requests)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=pipe, limit=2**16)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(said)
    async with asyncio.timeout(60):
        await process.stdin.drain()
        process.stdin.close()
        answers = await process.stdout.read()
        assert await process.wait() == 1
    assert answers.count(b"Content-Length") == 2000


@pytest.mark.parametrize("waiting", [GHOST, "textDocument/completion"])
async def test_a_client_that_vanishes_while_it_waits_ends_the_server(wire: Wire, waiting: str) -> None:
    wire.notify("textDocument/didOpen", opened("hang"))
    wire.request(waiting, at(0, 4))
    wire.raw(b'Content-Length: 999\r\n\r\n{"jsonrpc":')
    assert wire.process.stdin is not None
    wire.process.stdin.close()
    async with asyncio.timeout(60):
        assert await wire.process.wait() == 1


def allow_long_documents(wire: Wire) -> None:
    wish = {"completion": {"maxDocumentCharacters": 100_000_000}}
    wire.notify("workspace/didChangeConfiguration", {"settings": {"shardline": wish}})


async def test_a_document_of_50_megabytes_is_edited_and_completed(wire: Wire) -> None:
    allow_long_documents(wire)
    wire.notify("textDocument/didOpen", opened("x = 'some text of a line'\n" * 2_000_000))
    wire.notify("textDocument/didChange", changed({"range": span(1_000_000, 0, 1_000_000, 0), "text": "say:big"}))
    (item,) = await wire.ask(GHOST, at(1_000_000, 7))
    assert item["insertText"] == "big"


@pytest.mark.parametrize("part", ["é=1;", "word", "    ", "((((", "))))"])
async def test_a_line_of_5_megabytes_is_edited_and_completed(wire: Wire, part: str) -> None:
    allow_long_documents(wire)
    wire.notify("textDocument/didOpen", opened(part * 1_250_000 + "\nend"))
    wire.notify("textDocument/didChange", changed({"range": span(0, 2_000_000, 0, 5_000_000), "text": " say:long"}))
    (item,) = await wire.ask(GHOST, at(0, 2_000_009))
    assert item["insertText"] == "long"
    wire.notify("textDocument/didChange", changed({"range": span(0, 2_000_000, 0, 2_000_005), "text": ""}))
    assert (await wire.ask("textDocument/completion", at(0, 2_000_000)))["isIncomplete"]
