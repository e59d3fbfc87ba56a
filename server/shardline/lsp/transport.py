"""How bytes come in and go out: standard input and output, or one TCP connection, and where a message ends."""

import asyncio
import contextlib
import os
import queue
import re
import sys
import threading

from shardline.errors import SettingsError
from shardline.lsp.messages import MessageProtocol
from shardline.lsp.server import ShardlineServer

CHUNK = 1 << 16
"""How many bytes are read at once, at most."""

LEAVE_SECONDS = 2.0
"""How long a client that leaves may take to read what it was answered."""

_LENGTH = re.compile(rb"content-length:[ \t]*(\d{1,9})\s*\Z", re.IGNORECASE)
"""May stand behind something else: a body that was longer than its header said."""


def serve_stdio(server: ShardlineServer) -> None:
    """Serve whoever started this process, until they leave.

    The protocol gets descriptors of its own; what a library prints goes to standard error, and what it reads
    is empty, so neither can disturb the conversation.
    """
    stdin, output = os.dup(0), _Output(os.dup(1))
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    server.protocol.set_writer(output)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_pipe(server, stdin))
    output.close()


def serve_tcp(server: ShardlineServer, host: str, port: int) -> None:
    """Serve the first client that connects, until it leaves; port 0 takes any free one, and prints which."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_one(server, host, port))


async def converse(reader: asyncio.StreamReader, protocol: MessageProtocol) -> None:
    """Take message after message, until the client says `exit` or is gone."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while not protocol.exited and (body := await _body(reader)) is not None:
            protocol.receive(body)
            await asyncio.sleep(0)  # who has been asked sees the documents as they are now, not after the next message


async def _body(reader: asyncio.StreamReader) -> bytes | None:
    """What the next message says: empty where its header does not tell how long it is, None at the end."""
    length: int | None = None
    blank = True
    while line := await _line(reader):
        if line.strip():
            found = _LENGTH.search(line)
            length = int(found[1]) if found else length
            blank = False
        elif not blank:
            return await reader.readexactly(length or 0)
    return None


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        return b"?"  # longer than any header


async def _serve_pipe(server: ShardlineServer, stdin: int) -> None:
    reader, loop = asyncio.StreamReader(), asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before the input
            while data := _read(stdin):
                loop.call_soon_threadsafe(reader.feed_data, data)
            loop.call_soon_threadsafe(reader.feed_eof)

    threading.Thread(target=read, name="input", daemon=True).start()
    await converse(reader, server.protocol)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, CHUNK)
    except OSError:
        return b""  # the client is gone


class _Output:
    """Writes in a thread of its own: a client that is slow to read keeps nobody from reading what it says."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Have `data` written."""
        self._waiting.put(data)

    def close(self) -> None:
        """Wait until all is written, if the client still reads."""
        self._waiting.put(b"")
        self._thread.join(LEAVE_SECONDS)

    def _write(self) -> None:
        with contextlib.suppress(OSError), os.fdopen(self._descriptor, "wb") as stream:
            while data := self._waiting.get():
                stream.write(data)
                stream.flush()


async def _serve_one(server: ShardlineServer, host: str, port: int) -> None:
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.close()
        server.protocol.set_writer(writer)
        try:
            await converse(reader, server.protocol)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await writer.drain()
        finally:
            left.set()

    try:
        listener = await asyncio.start_server(talk, host, port)
    except OSError as error:
        raise SettingsError(f"--tcp {host}:{port} cannot be used ({error.strerror}); try another port.") from error
    sys.stderr.write(f"Listening on {host}:{listener.sockets[0].getsockname()[1]}\n")
    sys.stderr.flush()
    await left.wait()
