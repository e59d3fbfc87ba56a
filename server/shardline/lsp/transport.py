"""How bytes come in and go out: standard input and output, or one TCP connection."""

import asyncio
import contextlib
import os
import sys
import threading

from pygls.io_ import run_async

from shardline.errors import SettingsError
from shardline.lsp.server import ShardlineServer


def serve_stdio(server: ShardlineServer) -> None:
    """Serve whoever started this process, until they leave.

    The protocol gets descriptors of its own; what a library prints goes to standard error, and what it reads
    is empty, so neither can disturb the conversation.
    """
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    server.start_io(stdin, stdout)


def serve_tcp(server: ShardlineServer, host: str, port: int) -> None:
    """Serve the first client that connects, until it leaves; port 0 takes any free one, and prints which."""
    with contextlib.suppress(SystemExit):  # how pygls ends on `exit`
        asyncio.run(_serve_one(server, host, port))


async def _serve_one(server: ShardlineServer, host: str, port: int) -> None:
    left = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.close()
        server.protocol.set_writer(writer)
        try:
            await run_async(threading.Event(), reader, server.protocol, error_handler=server.report_server_error)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client vanished
        finally:
            left.set()

    try:
        listener = await asyncio.start_server(converse, host, port)
    except OSError as error:
        raise SettingsError(f"--tcp {host}:{port} cannot be used ({error.strerror}); try another port.") from error
    sys.stderr.write(f"Listening on {host}:{listener.sockets[0].getsockname()[1]}\n")
    sys.stderr.flush()
    await left.wait()
