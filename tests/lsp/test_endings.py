"""However the server is ended, it leaves nothing behind: by a signal, or because its client is dead."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shardline.statistics.counts import figures
from shardline.statistics.store import Store
from tests.lsp.tcp import TOKEN, listening
from tests.lsp.wire import GHOST, Wire, at, opened, talking

pytestmark = pytest.mark.slow

SERVER = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
AS_USUAL = """
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
COMMAND = [sys.executable, "-c", AS_USUAL, *SERVER]
"""Who runs tests in the background may have these signals ignored, and so would the server."""
SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
EXPLAIN = {"command": "shardline.explain"}


@asynccontextmanager
async def used(**params: Any) -> AsyncIterator[Wire]:
    """Yield a server that has shown a suggestion, and the page that tells why."""
    async with talking(COMMAND, stderr=asyncio.subprocess.PIPE) as wire:
        await wire.greet(**params)
        wire.notify("textDocument/didOpen", opened("say:x"))
        assert await wire.ask(GHOST, at(0, 5))
        await wire.ask("workspace/executeCommand", EXPLAIN)
        yield wire


async def ended(wire: Wire) -> int:
    async with asyncio.timeout(60):
        return await wire.process.wait()


def pages(cache: Path) -> list[Path]:
    return list(cache.glob("why-nothing-showed*"))


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_ends_it_in_good_order(number: signal.Signals, own_cache: Path, own_store: Store) -> None:
    async with used() as wire:
        assert len(pages(own_cache)) == 1
        wire.notify("textDocument/didOpen", opened("hang"))
        wire.request(GHOST, at(0, 4))
        wire.process.send_signal(number)
        assert await ended(wire) == 128 + number
        assert wire.process.stderr is not None
        assert await wire.process.stderr.read() == b""
    assert pages(own_cache) == []
    assert figures(own_store.read().items()).shown == 1


async def test_a_signal_ends_it_though_its_client_reads_nothing_and_signals_come_again(own_cache: Path) -> None:
    async with used() as wire:
        wire.process.send_signal(signal.SIGSTOP)
        for number in SIGNALS:
            wire.process.send_signal(number)
        wire.process.send_signal(signal.SIGCONT)
        assert await ended(wire) in [128 + number for number in SIGNALS]
    assert pages(own_cache) == []


async def test_a_signal_that_was_ignored_when_it_was_started_stays_ignored() -> None:
    nohup = ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *SERVER]
    async with talking(nohup) as wire:
        await wire.greet()
        wire.process.send_signal(signal.SIGHUP)
        assert await wire.leave() == 0


async def test_a_signal_ends_a_server_that_waits_for_its_client() -> None:
    async with listening(SHARDLINE_TOKEN=TOKEN) as server:
        server.process.terminate()
        async with asyncio.timeout(60):
            assert await server.process.wait() == 128 + signal.SIGTERM


@pytest.fixture
def other() -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a process that runs until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


async def test_it_ends_with_the_process_of_its_client_though_its_pipes_stay_open(
    own_cache: Path, other: "subprocess.Popen[bytes]"
) -> None:
    async with used(processId=other.pid) as wire:
        other.kill()  # and is not waited for: it stays as a zombie
        assert await ended(wire) == 1
        assert wire.process.stderr is not None
        assert b"The process of the client has ended." in await wire.process.stderr.read()
    assert pages(own_cache) == []


async def test_a_client_whose_number_means_nothing_here_is_served(other: "subprocess.Popen[bytes]") -> None:
    other.kill()
    other.wait()
    for number in (other.pid, 0, -1, 2**31 - 1):
        async with talking(COMMAND, stderr=asyncio.subprocess.PIPE) as wire:
            await wire.greet(processId=number)
            assert await wire.leave() == 0
            assert wire.process.stderr is not None
            assert await wire.process.stderr.read() == b""


async def test_it_ends_when_nobody_can_read_what_it_says() -> None:
    pipe = asyncio.subprocess.PIPE
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=writing, stderr=pipe)
    os.close(writing)
    os.close(reading)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(b"Content-Length: 1\r\n\r\n{")
    async with asyncio.timeout(60):
        assert await process.wait() == 1
        assert b"has closed the pipe" in await process.stderr.read()
    process.stdin.close()


async def test_a_page_that_a_killed_server_left_is_removed_by_the_next(own_cache: Path) -> None:
    async with used() as killed, used() as living:
        killed.process.kill()
        await ended(killed)
        assert len(pages(own_cache)) == 2
        async with talking(COMMAND) as next_one:
            await next_one.greet()
            await next_one.leave()
        assert [str(living.process.pid) in page.name for page in pages(own_cache)] == [True]
