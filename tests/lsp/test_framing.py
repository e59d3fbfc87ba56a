"""Headers are read strictly: what is no message of the protocol ends the conversation, and nothing in it is done."""

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from shardline.lsp.base_protocol.framing import MAX_BYTES
from tests.lsp.wire import Wire, framed, talking

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
SHUTDOWN = framed(b'{"jsonrpc":"2.0","id":"done","method":"shutdown"}')
BODY = SHUTDOWN.partition(b"\r\n\r\n")[2]


def with_header(header: bytes) -> bytes:
    return header + b"\r\n\r\n" + BODY


NO_HEADERS = {
    "a request by HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + SHUTDOWN,
    "a length at the end of another header": with_header(b"Referer: http://x/content-length:%d" % len(BODY)),
    "a header of HTTP beside the length": with_header(b"Host: localhost\r\nContent-Length: %d" % len(BODY)),
    "two lengths": with_header(b"Content-Length: 1\r\nContent-Length: %d" % len(BODY)),
    "the same length twice": with_header(b"Content-Length: %d\r\n" % len(BODY) * 2)[:-2],
    "two types": with_header(b"Content-Type: x\r\nContent-Type: x\r\nContent-Length: %d" % len(BODY)),
    "no length": b"Content-Type: x\r\n\r\n" + SHUTDOWN,
    "blank lines": b"\r\n\r\n" + SHUTDOWN,
    "a sign": with_header(b"Content-Length: +%d" % len(BODY)),
    "a negative length": b"Content-Length: -5\r\n\r\n" + SHUTDOWN,
    "hexadecimal digits": with_header(b"Content-Length: 0x%x" % len(BODY)),
    "other digits": with_header("Content-Length: ٤٩".encode()),
    "a blank before the colon": with_header(b"Content-Length : %d" % len(BODY)),
    "a blank behind the length": with_header(b"Content-Length: %d " % len(BODY)),
    "no blank": with_header(b"Content-Length:%d" % len(BODY)),
    "a line feed alone": with_header(b"Content-Length: %d\n" % len(BODY)),
    "a line that goes on": with_header(b"Content-Length:\r\n %d" % len(BODY)),
    "a type in other letters": with_header("Content-Type: é\r\nContent-Length: %d".encode() % len(BODY)),
    "a length beyond the longest": b"Content-Length: %d\r\n\r\n" % (MAX_BYTES + 1) + SHUTDOWN,
    "a length beyond all bounds": b"Content-Length: %s\r\n\r\n" % (b"9" * 5000) + SHUTDOWN,
    "a line without an end": b"x" * 300_000 + b"\r\n\r\n" + SHUTDOWN,
    "a body longer than its header says": b'Content-Length: 3\r\n\r\n{"jsonrpc":"2.0"}\r\n' + SHUTDOWN,
}


@pytest.mark.parametrize("data", NO_HEADERS.values(), ids=NO_HEADERS.keys())
async def test_what_has_no_headers_of_the_protocol_ends_the_server_with_a_sentence(data: bytes) -> None:
    async with talking(COMMAND, stderr=asyncio.subprocess.PIPE) as wire:
        await wire.greet()
        wire.raw(data)
        assert await ended(wire) == 1
        assert "done" not in wire.answers
        assert wire.process.stderr is not None
        (line,) = (await wire.process.stderr.read()).decode().splitlines()
        assert "The conversation ends." in line
        assert "jsonrpc" not in line  # what was taken for a header may be a user's code


async def test_memory_grows_with_what_came_and_not_with_what_is_promised() -> None:
    async with talking(COMMAND) as wire:
        await wire.greet()
        before = memory(wire)
        wire.raw(b"Content-Length: %d\r\n\r\n%s" % (MAX_BYTES, b"x" * (1 << 20)))
        assert wire.process.stdin is not None
        async with asyncio.timeout(60):
            await wire.process.stdin.drain()  # most of it has been read
        assert memory(wire) - before < 1 << 23
        wire.process.stdin.close()
        assert await ended(wire) == 1


async def ended(wire: Wire) -> int:
    async with asyncio.timeout(60):
        return await wire.process.wait()


def memory(wire: Wire) -> int:
    return int(psutil.Process(wire.process.pid).memory_info().rss)
