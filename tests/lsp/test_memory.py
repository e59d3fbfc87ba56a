"""What the server keeps: as much after many requests and documents as after few."""

import sys
from pathlib import Path

import pytest

from tests.lsp.wire import GHOST, Wire, at, changed, opened, span, talking

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, str(Path(__file__).with_name("lean_server.py"))]


async def use(wire: Wire, documents: int) -> int:
    """Open, edit, complete and close documents, some while they are completed; returns the objects there are then."""
    for number in range(documents):
        uri = f"file:///work/{number}.py"
        wire.notify("textDocument/didOpen", opened("x = 1\n" * 20, uri))
        for turn in range(5):
            wire.notify("textDocument/didChange", changed({"range": span(1, 0, 1, 99), "text": f"say:{turn}"}, uri=uri))
            assert await wire.ask(GHOST, at(1, 5, uri))
            wire.notify("$/cancelRequest", {"id": wire.request(GHOST, at(turn, 1, uri))})
            wire.request("no/such/method", {})
        wire.request("textDocument/completion", at(2, 1, uri))
        wire.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        wire.notify("textDocument/didClose", {"textDocument": 7})
    objects = await wire.ask("workspace/executeCommand", {"command": "test.objects"})
    assert isinstance(objects, int)
    return objects


async def test_nothing_is_kept_of_requests_and_documents_that_are_done() -> None:
    async with talking(COMMAND) as wire:
        await wire.greet()
        few, many = 100, 900  # an event loop keeps up to a hundred timers that were cancelled, with what they hold
        before = await use(wire, few)
        assert await use(wire, many) - before < many - few
        assert await wire.leave() == 0
