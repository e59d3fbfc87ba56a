"""Hundreds of messages in any order, right and wrong: each request is answered once, and no text is lost.

The script of each conversation follows from its seed.
"""

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lsprotocol.types import Position, PositionEncodingKind

from tests.lsp.plain_document import LETTERS, PlainDocument
from tests.lsp.wire import (
    CANCELLED,
    GHOST,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
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
URIS = [f"file:///work/{number}.py" for number in range(4)]
MESSAGES = 600
ENCODING = PositionEncodingKind.Utf16

NO_MESSAGES = {
    framed(b"{"): PARSE_ERROR,
    framed(b"\xff"): PARSE_ERROR,
    framed(b'"' + b"x" * 100_000): PARSE_ERROR,
    framed(b"[]"): INVALID_REQUEST,
    framed(b"null"): INVALID_REQUEST,
    framed(b'{"jsonrpc":"1.0","id":[1],"method":"shutdown"}'): INVALID_REQUEST,
    framed(b'{"jsonrpc":"2.0","id":null,"result":{}}'): None,
    framed(b'{"jsonrpc":"2.0","method":"$/none","params":[[]]}'): None,
    framed(b'{"jsonrpc":"2.0","method":"textDocument/didClose","params":{}}'): None,
    framed(b'{"jsonrpc":"2.0","method":"initialize","params":{}}'): None,
}
"""What is no message or means nothing, and the error that answers it."""


class Fuzzer:
    """Says things at random, and knows what must come of them."""

    def __init__(self, wire: Wire, seed: int) -> None:
        self.wire = wire
        self.random = random.Random(seed)  # noqa: S311  no secret
        self.open: dict[str, PlainDocument] = {}
        self.allowed: dict[int, set[Any]] = {}
        """For each request the errors that may answer it; None stands for a result."""
        self.errors: Counter[int] = Counter()
        """How many errors without an id must come."""

    def step(self) -> None:
        """Say one thing."""
        choices = [self.opens, self.edits, self.edits, self.closes, self.asks, self.asks, self.asks_badly]
        self.random.choice([*choices, self.cancels, self.answers, self.errs, self.loses])()

    def text(self) -> str:
        return "".join(self.random.choices([*LETTERS, "say:", "hang", "fail"], k=self.random.randrange(20)))

    def spot(self) -> tuple[int, int]:
        most = self.random.choice([4, 20, 2**31])
        return self.random.randrange(most), self.random.randrange(most)

    def opens(self) -> None:
        uri, text = self.random.choice(URIS), self.text()
        self.open[uri] = PlainDocument(text)
        self.wire.notify("textDocument/didOpen", opened(text, uri))

    def edits(self) -> None:
        uri = self.random.choice(URIS)
        changes = []
        for _ in range(self.random.randrange(1, 4)):
            start, end, text = self.spot(), self.spot(), self.text()
            changes.append({"range": span(*start, *end), "text": text})
            if uri in self.open:
                self.open[uri].edit(Position(*start), Position(*end), text, ENCODING)
        if self.random.random() < 0.1:
            changes.append({"text": (text := self.text())})
            if uri in self.open:
                self.open[uri] = PlainDocument(text)
        self.wire.notify("textDocument/didChange", changed(*changes, uri=uri))

    def loses(self) -> None:
        uri = self.random.choice(URIS)
        bad = self.random.choice(
            [7, {"text": None}, {"range": {}, "text": "x"}, {"range": span(0, 0, -1, 0), "text": ""}]
        )
        self.open.pop(uri, None)
        self.wire.notify("textDocument/didChange", changed(bad, uri=uri))

    def closes(self) -> None:
        uri = self.random.choice(URIS)
        self.open.pop(uri, None)
        self.wire.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    def asks(self) -> None:
        method = self.random.choice([GHOST, "textDocument/completion"])
        number = self.wire.request(method, at(*self.spot(), self.random.choice(URIS)))
        self.allowed[number] = {None, CANCELLED}

    def asks_badly(self) -> None:
        method, params, error = self.random.choice(
            [
                ("no/such/method", self.text(), METHOD_NOT_FOUND),
                ("textDocument/didClose", {}, METHOD_NOT_FOUND),
                (GHOST, at(None, "x"), INVALID_PARAMS),
                ("textDocument/completion", [[]], INVALID_PARAMS),
                ("workspace/executeCommand", {"command": "none"}, INVALID_PARAMS),
                ("initialize", {"capabilities": {}}, INVALID_REQUEST),
            ]
        )
        self.allowed[self.wire.request(method, params)] = {error}

    def cancels(self) -> None:
        self.wire.notify("$/cancelRequest", {"id": self.random.choice([*self.wire.asked[-5:], "none", None, [1], {}])})

    def answers(self) -> None:
        number = self.random.choice([*self.wire.asked[-5:], "none"])
        self.wire.say({"jsonrpc": "2.0", "id": number, **self.random.choice([{"result": 1}, {"error": "bad"}])})

    def errs(self) -> None:
        data, error = self.random.choice(list(NO_MESSAGES.items()))
        self.wire.raw(data)
        if error:
            self.errors[error] += 1


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_said_each_request_is_answered_once_and_no_text_is_lost(seed: int) -> None:
    async with talking(COMMAND) as wire:
        await wire.greet()
        fuzzer = Fuzzer(wire, seed)
        for _ in range(MESSAGES):
            fuzzer.step()
        for number, (uri, document) in enumerate(fuzzer.open.items()):
            await holds(wire, uri, document, f"\nsay:unheard of {number}", fuzzer.random.randrange(5))
        for number in fuzzer.allowed:
            wire.notify("$/cancelRequest", {"id": number})
            answer = await wire.answer(number)
            assert (answer if isinstance(answer, int) else None) in fuzzer.allowed[number]
        assert await wire.leave() == 0
        assert Counter(wire.answers.pop(None, [])) == fuzzer.errors
        assert set(wire.answers) == set(wire.asked)
        assert all(len(answers) == 1 for answers in wire.answers.values())


async def holds(wire: Wire, uri: str, document: PlainDocument, new: str, line: int) -> None:
    """Check that the model was asked with the client's text after a last line was put in, and the answer."""
    start = document.offset(Position(line, 0), ENCODING)
    before, after = document.text[:start] + new, document.text[start:]
    wire.notify("textDocument/didChange", changed({"range": span(line, 0, line, 0), "text": new + "\n"}, uri=uri))
    plain_before = plain(before)
    (item,) = await wire.ask(GHOST, at(plain_before.count("\n"), len(new) - 1, uri))
    assert item["insertText"] == new.partition("say:")[2]
    (engine,) = await wire.ask("workspace/executeCommand", {"command": "test.engines"})
    assert (engine["requests"][-1], engine["suffixes"][-1]) == (plain_before, plain("\n" + after))


def plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
