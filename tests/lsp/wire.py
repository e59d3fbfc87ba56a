"""A client that says what it is told to say, right or wrong, byte for byte, and keeps every answer."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

URI = "file:///work/a.py"
GHOST = "textDocument/inlineCompletion"
GUARD_SECONDS = 60
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
NOT_INITIALIZED, CANCELLED = -32002, -32800


def framed(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def opened(text: Any, uri: str = URI) -> dict[str, Any]:
    return {"textDocument": {"uri": uri, "languageId": "python", "version": 1, "text": text}}


def changed(*changes: Any, uri: str = URI) -> dict[str, Any]:
    return {"textDocument": {"uri": uri, "version": 2}, "contentChanges": changes}


def at(line: Any, character: Any, uri: str = URI) -> dict[str, Any]:
    position = {"line": line, "character": character}
    return {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": 2}}


def span(line: int, character: int, to_line: int, to_character: int) -> dict[str, Any]:
    start = {"line": line, "character": character}
    return {"start": start, "end": {"line": to_line, "character": to_character}}


class Wire:
    """The conversation with one server process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.answers: dict[Any, list[Any]] = defaultdict(list)
        """For each id what was answered, the code of an error or the result."""
        self.notified: list[str] = []
        """The methods of what the server said by itself."""
        self.wanted: dict[str, Any] = {}
        """The ids of the requests that the server has sent, by their methods; none is answered by itself."""
        self.asked: list[Any] = []
        """The ids of the requests sent."""
        self._news = asyncio.Condition()

    def raw(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def say(self, message: Any) -> None:
        self.raw(framed(json.dumps(message).encode()))

    def notify(self, method: str, params: Any = None) -> None:
        self.say({"jsonrpc": "2.0", "method": method, "params": params})

    def request(self, method: str, params: Any = None) -> int:
        """Send a request; returns its id."""
        number = len(self.asked)
        self.asked.append(number)
        self.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    async def answer(self, number: Any) -> Any:
        """Return the answer to the request of this id, and to no other."""
        await self.until(lambda: self.answers.get(number))
        return self.answers[number][0]

    async def ask(self, method: str, params: Any = None) -> Any:
        return await self.answer(self.request(method, params))

    async def until(self, condition: Any) -> None:
        """Wait until something is so, which is looked at after each message of the server."""
        async with asyncio.timeout(GUARD_SECONDS), self._news:
            await self._news.wait_for(condition)

    async def greet(self, capabilities: Mapping[str, Any] | None = None, **params: Any) -> Any:
        """Initialize the server, and wait until its model is ready; returns the server's capabilities."""
        offered = {**(capabilities or {}), "experimental": {"shardlineStatus": True}}
        result = await self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": offered, **params})
        self.notify("initialized", {})
        await self.until(lambda: "ready" in self.notified)
        return result["capabilities"]

    async def leave(self) -> int:
        """Take leave; returns the server's exit code."""
        await self.ask("shutdown")
        self.notify("exit")
        async with asyncio.timeout(GUARD_SECONDS):
            return await self.process.wait()

    async def listen(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while header := await stream.readline():
            assert header.startswith(b"Content-Length: ")
            await stream.readline()
            await stream.readline()
            message = json.loads(await stream.readexactly(int(header.split()[1])))
            async with self._news:
                if "method" in message:
                    state = (message["params"] or {}).get("state")
                    self.notified.append(state or message["method"])
                    self.wanted[message["method"]] = message.get("id")
                else:
                    error = message.get("error")
                    self.answers[message["id"]].append(error["code"] if error else message["result"])
                self._news.notify_all()


@asynccontextmanager
async def talking(command: Sequence[str], **options: Any) -> AsyncIterator[Wire]:
    """Yield a conversation with a server that was started for it, and not greeted."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, **options)
    wire = Wire(process)
    listening = asyncio.create_task(wire.listen())
    try:
        yield wire
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()
        await listening
