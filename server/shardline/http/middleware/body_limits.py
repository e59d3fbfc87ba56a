"""Limits on request bodies: size, time and number in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from starlette.requests import Request

from shardline.http.admission import Admission
from shardline.http.error_responses import RETRY, RequestError
from shardline.http.h11_limits import patience
from shardline.http.middleware.json_parser import SMALL_BYTES

MAX_BYTES = 8 << 20
"""Limit on a body: the longest document with all its characters escaped."""

MAX_LONG = 4
"""Long bodies in memory; further ones wait unread, and beyond `MAX_WAITING` are refused."""

MAX_WAITING = 64

HURRIED_SECONDS = 3.0
"""Timeout for a long body while another one waits."""


class Bodies:
    """A reader of bodies; long ones share a few places and have less time while others wait."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._places = asyncio.Semaphore(MAX_LONG)
        self._waiting = 0
        self._deadlines: dict[asyncio.Timeout, float] = {}
        """Timeouts of the long bodies being read, each with its earlier deadline while others wait."""

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytearray]:
        """Read the body of `request`, which counts as in memory during the block; raises `RequestError`."""
        length = int(request.headers.get("content-length", MAX_BYTES))  # absent for a chunked body
        if length > MAX_BYTES:
            raise _too_long()
        is_long = length > SMALL_BYTES
        async with self._place() if is_long else nullcontext():
            try:
                async with asyncio.timeout(patience(length)) as deadline:
                    if is_long:
                        self._deadlines[deadline] = asyncio.get_running_loop().time() + HURRIED_SECONDS
                        self._hurry()
                    body = await _read(request)
            except TimeoutError:
                raise RequestError("The body of the request did not come in time.", status=408) from None
            finally:
                self._deadlines.pop(deadline, None)
            yield body

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        self._admission.check()
        if self._waiting >= MAX_WAITING:
            message = "Too many long bodies are sent at once; send this one again in a moment."
            raise RequestError(message, status=503, headers=RETRY)
        self._waiting += 1
        self._hurry()
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def _hurry(self) -> None:
        """Shorten the timeouts of bodies being read if others wait for a place."""
        if not self._waiting or not self._places.locked():
            return
        for deadline, early in self._deadlines.items():
            if not deadline.expired() and early < (deadline.when() or 0.0):
                deadline.reschedule(early)


async def _read(request: Request) -> bytearray:
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise RequestError("The client left before its request was complete.")
        body += message.get("body", b"")
        if len(body) > MAX_BYTES:
            raise _too_long()
        if not message.get("more_body"):
            return body


def _too_long() -> RequestError:
    return RequestError(f"The body is longer than {MAX_BYTES:,} bytes.", status=413)
