"""Transports of the server: standard input and output, or TCP."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Coroutine
from typing import Any

from shardline.errors import SettingsError
from shardline.lsp.base_protocol import ending
from shardline.lsp.base_protocol.conversation import Conversation
from shardline.lsp.base_protocol.door import Door, read_or_make_token
from shardline.lsp.base_protocol.pipe import LEAVE_SECONDS, PAUSE_BYTES, Input, Output
from shardline.lsp.server import ShardlineServer


def serve_stdio(server: ShardlineServer) -> int:
    """Serve the parent process until it leaves, close the server, and return the exit code.

    The protocol gets its own descriptors. Libraries print to standard error and read an empty input, so neither
    disturbs the conversation.
    """
    stdin, output = os.dup(0), Output(os.dup(1))
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    code = _serve(server, _serve_pipes(server, stdin, output))
    output.close()
    return code


def serve_tcp(server: ShardlineServer, host: str, port: int) -> int:
    """Serve the first client that knows the token until it leaves, close the server, and return the exit code.

    Port 0 means any free port. Prints the address and the token. Raises `SettingsError`.
    """
    return _serve(server, _serve_one(server, host, port, *read_or_make_token()))


def _serve(server: ShardlineServer, conversation: Coroutine[Any, Any, None]) -> int:
    code = ending.run(conversation)
    server.close()
    return code or (0 if server.protocol.ended_well else 1)


async def _serve_pipes(server: ShardlineServer, stdin: int, output: Output) -> None:
    reader = asyncio.StreamReader()
    conversation = Conversation(server.protocol, reader, output)
    output.start(lambda: conversation.end("The client has closed the pipe that it reads from."))
    Input(stdin, reader).start()

    async def follow_client() -> None:
        """End with the client's process: another process may have inherited its pipes."""
        await server.protocol.greeted.wait()
        if await ending.client_ended(server.process_id):
            conversation.end("The process of the client has ended.")

    following = asyncio.create_task(follow_client())
    await conversation.run()
    following.cancel()


class _Socket:
    """The output of a conversation over TCP."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=PAUSE_BYTES)
        self.write, self.drain = writer.write, writer.drain
        self._writer = writer

    @property
    def unread(self) -> int:
        return self._writer.transport.get_write_buffer_size()


async def _serve_one(server: ShardlineServer, host: str, port: int, token: str, found: str) -> None:
    door = Door(token)
    try:
        listener = await asyncio.start_server(door.receive, host, port)
    except OSError as error:
        raise SettingsError(f"--tcp {host}:{port} cannot be used ({error.strerror}); try another port.") from error
    sys.stderr.write(f"Listening on {host}:{listener.sockets[0].getsockname()[1]}; {found}\n")
    sys.stderr.flush()
    reader, writer, greeting = await door.admitted
    listener.close()
    door.close()
    conversation = Conversation(server.protocol, reader, _Socket(writer))
    server.protocol.take(greeting)
    await conversation.run()
    writer.close()
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(LEAVE_SECONDS):
            await writer.wait_closed()
