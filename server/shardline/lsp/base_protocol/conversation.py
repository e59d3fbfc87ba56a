"""Conversation with one client, from its first message to its last."""

import asyncio
import contextlib
import logging
from typing import Protocol

from shardline.errors import ProtocolError
from shardline.lsp.base_protocol.framing import read_message
from shardline.lsp.base_protocol.jsonrpc import MessageProtocol

MAX_UNREAD_BYTES = 1 << 26
"""The conversation ends when a client leaves more than this unread.

Input already stops at far less. Beyond that, only the server's own notifications add up, a few kilobytes a minute.
"""

log = logging.getLogger(__name__)


class Output(Protocol):
    """A writer of the server's messages."""

    @property
    def unread(self) -> int:
        """The number of bytes the client has not read yet."""

    def write(self, data: bytes) -> None:
        """Queue `data` for sending."""

    async def drain(self) -> None:
        """Wait while too much is unread; raises `ConnectionError` if the client is gone."""


class Conversation:
    """Messages between a client and `protocol`; input pauses while the client leaves too much unread."""

    def __init__(self, protocol: MessageProtocol, reader: asyncio.StreamReader, output: Output) -> None:
        self._protocol = protocol
        self._reader = reader
        self._output = output
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        protocol.set_writer(self)  # type: ignore[arg-type]  # only pygls' own `exit` would close it

    def write(self, data: bytes) -> None:
        """Send `data`; called by the protocol."""
        if self._ended.done():
            return
        self._output.write(data)
        if self._output.unread > MAX_UNREAD_BYTES:
            self.end("The client does not read the server's messages.")

    def end(self, reason: str) -> None:
        """End the conversation and log the reason, a sentence."""
        if not self._ended.done():
            log.error("%s The conversation ends.", reason)
            self._ended.set_result(None)

    async def run(self) -> None:
        """Handle messages until the client sends `exit` or is gone, or `end` is called."""
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
                    await asyncio.sleep(0)  # a request must see the documents before the next message changes them
            except ProtocolError as error:
                self.end(str(error))
