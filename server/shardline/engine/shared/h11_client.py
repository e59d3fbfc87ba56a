"""HTTP/1.1 connection to an engine process, kept open between requests."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import h11

from shardline.engine.shared.registry import Entry
from shardline.errors import AwayError, EngineError

MAX_BYTES = 1 << 16
"""Bytes per read."""

UNREADABLE = "The engine's answer cannot be read."


class Connection:
    """A connection to the engine of `entry`, one request at a time; raises `AwayError` if the engine is gone."""

    def __init__(self, entry: Entry, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = f"[{entry.host}]" if ":" in entry.host else entry.host
        self._headers = [
            ("Host", f"{host}:{entry.port}"),
            ("Authorization", f"Bearer {entry.key}"),
            ("Content-Type", "application/json"),
        ]
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, entry: Entry) -> "Connection":
        """Connect to the engine of `entry`."""
        try:
            return cls(entry, *await asyncio.open_connection(entry.host, entry.port))
        except OSError as error:
            raise AwayError(f"The engine cannot be reached ({error.strerror}).") from error

    @property
    def is_free(self) -> bool:
        """Whether another request can be sent."""
        return self._state.our_state is h11.IDLE and not (self._reader.at_eof() or self._writer.is_closing())

    async def ask(self, method: str, path: str, values: Any = None) -> Any:
        """Send JSON, if there is any, and return the JSON of the answer."""
        async with aclosing(self.lines(method, path, values)) as lines:
            answers = [value async for value in lines]
        if len(answers) != 1:
            raise EngineError(UNREADABLE)
        return answers[0]

    async def lines(self, method: str, path: str, values: Any = None) -> AsyncGenerator[Any, None]:
        """Send JSON, if there is any, and yield each line of JSON of the answer as soon as it arrives.

        Closing this before its end closes the connection, which ends the engine's work for it.
        """
        rest = b""
        try:
            self._send(method, path, b"" if values is None else json.dumps(values).encode())
            while not isinstance(event := self._state.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    self._state.receive_data(await self._reader.read(MAX_BYTES))
                elif isinstance(event, h11.Data):
                    *lines, rest = (rest + event.data).split(b"\n")
                    for line in lines:
                        yield _parse(line)
                elif isinstance(event, h11.ConnectionClosed):
                    raise AwayError("The engine has ended.")
                elif isinstance(event, h11.Response) and event.status_code != 200:
                    raise EngineError(f"The engine refused a request ({event.status_code}).")
            if rest:
                yield _parse(rest)
            if self._state.their_state is h11.DONE:
                self._state.start_next_cycle()
        except (OSError, h11.ProtocolError) as error:
            raise AwayError("The engine has ended.") from error
        finally:
            if self._state.our_state is not h11.IDLE:
                self.close()

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    def abort(self) -> None:
        """Close the connection at once, without sending what is buffered."""
        self._writer.transport.abort()

    def _send(self, method: str, path: str, body: bytes) -> None:
        request = h11.Request(method=method, target=path, headers=[*self._headers, ("Content-Length", str(len(body)))])
        for event in (request, h11.Data(body), h11.EndOfMessage()):
            self._writer.write(self._state.send(event) or b"")


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise EngineError(UNREADABLE) from error
