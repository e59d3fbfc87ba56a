"""Language server over TCP."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.lsp.wire import framed

COMMAND = [sys.executable, "-m", "shardline", "--tcp", "127.0.0.1:0"]


TOKEN = "a token of the user's choosing"  # noqa: S105


GUARD_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that listens at `port`."""

    process: asyncio.subprocess.Process
    port: int
    first_line: str

    async def says(self, data: bytes) -> bytes:
        """Return what it answers to all of `data`, until it closes the connection."""
        async with asyncio.timeout(GUARD_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(data)
            try:
                return await reader.read()
            except ConnectionResetError:  # it did not read all
                return b""
            finally:
                writer.close()

    async def serves(self, token: str) -> None:
        """Check that it serves a client with this token, from its `initialize` to its `exit`."""
        answers = await self.says(initialize({"token": token}) + message("shutdown", id=2) + message("exit"))
        assert b'"capabilities"' in answers
        assert b'"id": 2, "jsonrpc": "2.0", "result": null' in answers
        async with asyncio.timeout(GUARD_SECONDS):
            assert await self.process.wait() == 0

    async def log(self) -> str:
        """Return what it wrote after its first line."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@asynccontextmanager
async def listening(*flags: str, **environment: str) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *flags, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environment}
    )
    try:
        assert process.stderr is not None
        while not (line := (await process.stderr.readline()).decode()).startswith("Listening on 127.0.0.1:"):
            assert line  # of the log
        yield Server(process=process, port=int(line.split(";")[0].rpartition(":")[2]), first_line=line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def message(method: str, **more: Any) -> bytes:
    return framed(json.dumps({"jsonrpc": "2.0", "method": method, **more}).encode())


def initialize(options: Any) -> bytes:
    return message("initialize", id=1, params={"processId": None, "capabilities": {}, "initializationOptions": options})
