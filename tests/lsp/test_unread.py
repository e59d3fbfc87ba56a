"""A client that does not read what it is told: the server keeps little for it, and takes no more from it."""

import asyncio
import json
import sys
from pathlib import Path

import psutil
import pytest

from tests.lsp.tcp import TOKEN, initialize, listening
from tests.lsp.wire import framed

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
QUESTIONS = 500
QUESTION = framed(json.dumps({"jsonrpc": "2.0", "id": "x" * 100_000, "method": "no/such"}).encode())
GROWTH = 24 << 20
"""Bytes that a server may take more: less than half of what all the answers have."""

STALLED_SECONDS = 5.0
"""How long a client waits for the server to take what it says, in vain."""

GUARD_SECONDS = 60


async def test_a_client_that_does_not_read_is_not_listened_to_and_answered_when_it_reads() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=pipe, limit=1 << 16)
    assert process.stdin is not None
    assert process.stdout is not None
    await asked_too_much(process.pid, process.stdout, process.stdin)
    process.stdin.close()
    async with asyncio.timeout(GUARD_SECONDS):
        answers = await process.stdout.read()
        assert await process.wait() == 1
    assert answers.count(b"Content-Length") == QUESTIONS - 1


async def test_the_same_holds_over_tcp() -> None:
    async with listening(SHARDLINE_TOKEN=TOKEN) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        writer.write(initialize({"token": TOKEN}))
        await reader.readuntil(b"\r\n\r\n")
        await asked_too_much(server.process.pid, reader, writer)
        writer.write_eof()
        async with asyncio.timeout(GUARD_SECONDS):
            answers = await reader.read()
            assert await server.process.wait() == 1
        assert answers.count(b"Content-Length") == QUESTIONS
        writer.close()


async def asked_too_much(pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the beginning of an answer, send many questions and read no more, until the server takes no more."""
    server = psutil.Process(pid)
    writer.write(QUESTION)
    assert await reader.readexactly(10)
    before = server.memory_info().rss
    writer.write(QUESTION * (QUESTIONS - 1))
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await writer.drain()
    except TimeoutError:
        pass
    else:
        raise AssertionError("The server took all there was.")
    assert server.memory_info().rss - before < GROWTH


async def test_a_client_that_leaves_far_too_much_unread_is_given_up() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 16)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(initialize({}))
    params = {"command": "test.warmed"}  # is answered when it is cancelled, as `shutdown` does with all
    for number in range(80):
        request = {"jsonrpc": "2.0", "id": f"{number:01000000}", "method": "workspace/executeCommand", "params": params}
        process.stdin.write(framed(json.dumps(request).encode()))
    process.stdin.write(framed(b'{"jsonrpc":"2.0","id":1,"method":"shutdown"}'))
    async with asyncio.timeout(GUARD_SECONDS):
        await process.stdin.drain()
        assert b"The client does not read" in await process.stderr.read()
        assert await process.stdout.read()  # before the process is waited for, which ends with its pipes
        await process.wait()
