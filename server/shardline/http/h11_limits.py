"""Timeouts and a connection limit for uvicorn's HTTP/1.1, which has neither."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 10.0
"""Timeout for a client to send a header, or to read the rest of an answer."""

BYTES_PER_SECOND = 128 << 10
"""Each further second allows this many bytes of a body or an answer."""

READ_BYTES = 64 << 10
"""Read size for a body of known length."""

PARSED_BYTES = 4 << 10
"""Read size for headers and chunks, whose parsing costs a thousand times as much per byte."""


def patience(size: int) -> float:
    """Return the timeout in seconds for a client to send or read `size` bytes."""
    return SECONDS + size / BYTES_PER_SECOND


class IdleConnections:
    """A queue of the connections without a running request, the longest idle first.

    A new connection beyond `limit` closes the first one.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.buffer = bytearray(READ_BYTES)
        """Shared by all connections: each copies out at once what it has read."""
        self._queue: dict[LimitedProtocol, None] = {}

    def add(self, protocol: "LimitedProtocol") -> None:
        """Append `protocol` to the queue."""
        self.remove(protocol)
        self._queue[protocol] = None

    def remove(self, protocol: "LimitedProtocol") -> None:
        """Remove `protocol` from the queue."""
        self._queue.pop(protocol, None)

    def pop(self) -> "LimitedProtocol":
        """Remove and return the first of the queue."""
        first = next(iter(self._queue))
        self.remove(first)
        return first


class LimitedProtocol(H11Protocol, asyncio.BufferedProtocol):
    """One connection, which is aborted when the client exceeds its `patience`."""

    def __init__(self, idle: IdleConnections, **options: Any) -> None:
        super().__init__(**options)
        self._idle = idle
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_answering(self) -> bool:
        """Whether a request is running; its body may not have arrived yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, and close the longest idle one beyond the limit."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self._idle.limit:
            first = self._idle.pop()
            self.connections.discard(first)
            first.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        self._set_deadline(None)
        self._idle.remove(self)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  asyncio's signature
        """Return the buffer for the next read."""
        in_body = self.cycle is not None and self.cycle.more_body
        is_plain = in_body and any(name == b"content-length" for name, _ in self.headers)
        return memoryview(self._idle.buffer)[: READ_BYTES if is_plain else PARSED_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Process what was read."""
        self.data_received(bytes(self._idle.buffer[:nbytes]))

    def handle_events(self) -> None:
        """Start a request after its header; the reader of its body sets that timeout."""
        super().handle_events()
        if self.is_answering:
            self._idle.remove(self)
            self._set_deadline(patience(self._unsent) if self.flow.write_paused else None)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._wait()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait until the client has read, up to its `patience`."""
        super().pause_writing()
        self._set_deadline(patience(self._unsent))

    def resume_writing(self) -> None:
        """Continue the answer."""
        super().resume_writing()
        if self.is_answering:
            self._set_deadline(None)

    @property
    def _unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def _wait(self) -> None:
        self._idle.add(self)
        self._set_deadline(patience(self._unsent))

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
