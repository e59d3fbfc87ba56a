"""Conversation with one client, from its first message to its end."""

import asyncio
import contextlib
import logging
from typing import Protocol

from shardline.errors import ProtocolError
from shardline.lsp.base_protocol.framing import read_message
from shardline.lsp.base_protocol.jsonrpc import MessageProtocol

MAX_UNREAD_BYTES = 1 << 26
"""How much a client may leave unread before it is given up.

Far less makes the server take no more input. Beyond that grows only what the server says by itself, a few kilobytes
a minute.
"""

log = logging.getLogger(__name__)


class Output(Protocol):
    """Where the server's messages go."""

    @property
    def unread(self) -> int:
        """How many bytes the client has not taken yet."""

    def write(self, data: bytes) -> None:
        """Have `data` sent, without waiting for it."""

    async def drain(self) -> None:
        """Wait while too much is unread; raises `ConnectionError` where nobody will read it."""


class Conversation:
    """Passes messages between a client and `protocol`. Takes none while the client leaves too much unread."""

    def __init__(self, protocol: MessageProtocol, reader: asyncio.StreamReader, output: Output) -> None:
        self._protocol = protocol
        self._reader = reader
        self._output = output
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        protocol.set_writer(self)  # type: ignore[arg-type]  # it would be closed only in what `exit` does in pygls

    def write(self, data: bytes) -> None:
        """Send `data`; called by the protocol."""
        if self._ended.done():
            return
        self._output.write(data)
        if self._output.unread > MAX_UNREAD_BYTES:
            self.end("The client does not read what the server says.")

    def end(self, reason: str) -> None:
        """End the conversation, for a reason that goes into the log as a sentence."""
        if not self._ended.done():
            log.error("%s The conversation ends.", reason)
            self._ended.set_result(None)

    async def run(self) -> None:
        """Take message after message, until the client says `exit` or is gone, or `end` is called."""
        taking = asyncio.create_task(self._take_messages())
        try:
            await asyncio.wait({taking, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            taking.cancel()
        if taking.done():
            taking.result()

    async def _take_messages(self) -> None:
        with contextlib.suppress(ConnectionError):
            try:
                while not self._protocol.exited and (body := await read_message(self._reader)) is not None:
                    self._protocol.receive(body)
                    await self._output.drain()
                    await asyncio.sleep(0)  # requests see the documents as they are now, not after the next message
            except ProtocolError as error:
                self.end(str(error))
