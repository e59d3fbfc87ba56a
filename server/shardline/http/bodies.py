"""The bodies of requests on their way into memory: limits on bytes and seconds, for each and for all together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from shardline.http.admission import Admission
from shardline.http.protocol import patience
from shardline.http.refusals import AGAIN, RequestError

MAX_BYTES = 8 << 20
"""A body may have this many: a document that is as long as they may be, however it is written."""

SMALL_BYTES = 64 << 10
"""Up to this size a body is read, and parsed, without further ado."""

MAX_HELD_BYTES = 8 * MAX_BYTES
"""All bodies together may have this many."""


class Bodies:
    """Reads bodies; where all memory for them is taken, the client that was silent for longest is refused."""

    def __init__(self, admission: Admission, *, limit: int = MAX_HELD_BYTES) -> None:
        self._admission = admission
        self._limit = limit
        self._held = 0
        self._reading: dict[asyncio.Timeout, int] = {}
        """The bytes of each body that is being read; the one that was silent for longest comes first."""

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytearray]:
        """Read the body of `request`, for which memory is taken as long as the block lasts; raises `RequestError`."""
        length = int(request.headers.get("content-length", MAX_BYTES))  # else it comes in chunks
        if length > MAX_BYTES:
            raise _too_long()
        if length > SMALL_BYTES:
            self._admission.check()
        body = bytearray()
        try:
            async with asyncio.timeout(patience(length)) as reading:
                self._reading[reading] = 0
                try:
                    await self._fill(body, request, reading)
                finally:
                    taken = self._reading.pop(reading, None)
        except TimeoutError:
            self._held -= taken or 0
            if taken is None:
                raise _no_memory() from None
            raise RequestError("The body of the request did not come in time.", status=408) from None
        except BaseException:
            self._held -= taken or 0
            raise
        try:
            yield body
        finally:
            self._held -= len(body)

    async def _fill(self, body: bytearray, request: Request, reading: asyncio.Timeout) -> None:
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise RequestError("The client left before its request was complete.")
            piece = message.get("body", b"")
            if len(body) + len(piece) > MAX_BYTES:
                raise _too_long()
            self._take(len(piece), reading)
            body += piece
            if not message.get("more_body"):
                return

    def _take(self, size: int, reading: asyncio.Timeout) -> None:
        """Take memory for `size` more bytes of a body, if need be from another one; raises `RequestError`."""
        if reading not in self._reading:
            raise _no_memory()
        self._reading[reading] = self._reading.pop(reading) + size
        self._held += size
        while self._held > self._limit:
            silent, taken = next(iter(self._reading.items()))
            del self._reading[silent]
            self._held -= taken
            if silent is reading:
                raise _no_memory()
            if not silent.expired():
                silent.reschedule(0)  # long ago


def _too_long() -> RequestError:
    return RequestError(f"The body is longer than {MAX_BYTES:,} bytes.", status=413)


def _no_memory() -> RequestError:
    return RequestError(
        "Too many long bodies are sent at once; send this one again in a moment.", status=503, headers=AGAIN
    )
