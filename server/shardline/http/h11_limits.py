"""uvicorn's HTTP/1.1 with limits on time and on the number of connections, of which it has none."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 10.0
"""A client may take this long to send a header, or to read what is left of an answer."""

BYTES_PER_SECOND = 128 << 10
"""It gets one more second for this many bytes of a body or an answer."""

READ_BYTES = 64 << 10
"""A body whose length is known is read in pieces of this size."""

PARSED_BYTES = 4 << 10
"""Headers and chunks cost a thousand times as much; in smaller pieces they leave others a turn in between."""


def patience(size: int) -> float:
    """Return the seconds in which a client must send or read `size` bytes."""
    return SECONDS + size / BYTES_PER_SECOND


class Waiting:
    """The connections on which no request is answered, the one that waits longest first.

    Where more than `limit` are open, that one is closed: a newcomer always finds a place.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.buffer = bytearray(READ_BYTES)
        """Every connection reads into this one, and takes what it has read out at once."""
        self._waiting: dict[LimitedProtocol, None] = {}

    def add(self, protocol: "LimitedProtocol") -> None:
        """Put `protocol` at the end of the line."""
        self.remove(protocol)
        self._waiting[protocol] = None

    def remove(self, protocol: "LimitedProtocol") -> None:
        """Take `protocol` out of the line."""
        self._waiting.pop(protocol, None)

    def pop(self) -> "LimitedProtocol":
        """Take the first out of the line."""
        first = next(iter(self._waiting))
        self.remove(first)
        return first


class LimitedProtocol(H11Protocol, asyncio.BufferedProtocol):
    """One connection, which is aborted where the client keeps it for longer than `patience` allows."""

    def __init__(self, waiting: Waiting, **given: Any) -> None:
        super().__init__(**given)
        self._line = waiting
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_answering(self) -> bool:
        """Whether a request was read whose answer is not complete; its body may still be to come."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, if need be from the connection that waits longest."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self._line.limit:
            first = self._line.pop()
            self.connections.discard(first)
            first.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._set_deadline(None)
        self._line.remove(self)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  as asyncio calls it
        """Return where to put what comes next."""
        in_body = self.cycle is not None and self.cycle.more_body
        is_plain = in_body and any(name == b"content-length" for name, _ in self.headers)
        return memoryview(self._line.buffer)[: READ_BYTES if is_plain else PARSED_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        self.data_received(bytes(self._line.buffer[:nbytes]))

    def handle_events(self) -> None:
        """Answer a request whose header is there; how long its body may take is up to whoever reads it."""
        super().handle_events()
        if self.is_answering:
            self._line.remove(self)
            self._set_deadline(patience(self._unsent) if self.flow.write_paused else None)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._wait()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait until the client has read, for a while."""
        super().pause_writing()
        self._set_deadline(patience(self._unsent))

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        if self.is_answering:
            self._set_deadline(None)

    @property
    def _unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def _wait(self) -> None:
        self._line.add(self)
        self._set_deadline(patience(self._unsent))

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
