"""Pipes to the parent process, each with a thread."""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable

CHUNK = 1 << 16
"""How many bytes are read at once, at most."""

PAUSE_BYTES = 1 << 22
"""How much a client may leave unread until nothing more is taken from it: room for thousands of answers at once."""

LEAVE_SECONDS = 2.0
"""How long a client that leaves may take to read what it was answered."""


class Input(asyncio.ReadTransport):
    """Feeds `reader` from a descriptor, no faster than it is read: what nobody wants yet stays in the pipe.

    A thread reads, since the pipes of Windows know no other way.
    """

    def __init__(self, descriptor: int, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._wanted = threading.Semaphore(1)
        self._paused = False

    def start(self) -> None:
        """Begin to read."""
        self._reader.set_transport(self)
        threading.Thread(target=self._read, name="input", daemon=True).start()

    def pause_reading(self) -> None:
        """Read no more for now; called by the reader."""
        self._paused = True

    def resume_reading(self) -> None:
        """Read on; called by the reader."""
        self._paused = False
        self._wanted.release()

    def _read(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before the input
            data = b"more"
            while data:
                self._wanted.acquire()
                try:
                    data = os.read(self._descriptor, CHUNK)
                except OSError:
                    data = b""  # the client is gone
                self._loop.call_soon_threadsafe(self._feed, data)

    def _feed(self, data: bytes) -> None:
        """Pass data on, in the event loop; only then the thread reads more."""
        if not data:
            self._reader.feed_eof()
            return
        self._reader.feed_data(data)
        if not self._paused:
            self._wanted.release()


class Output:
    """Writes to a descriptor in a thread of its own, also after the event loop has ended."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lock = threading.Lock()  # for `unread`, which both threads change
        self._room = asyncio.Event()
        self._room.set()
        self.unread = 0
        """How many bytes wait to be written."""
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)

    def start(self, on_lost: Callable[[], None]) -> None:
        """Begin to write; `on_lost` is called in the running event loop when nobody reads it any more."""
        self._loop, self._on_lost = asyncio.get_running_loop(), on_lost
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Have `data` written."""
        if self._count(len(data)) > PAUSE_BYTES:
            self._room.clear()
        self._waiting.put(data)

    async def drain(self) -> None:
        """Wait until the client has read most of what was sent."""
        await self._room.wait()

    def close(self) -> None:
        """Wait until all is written, if the client still reads."""
        self._waiting.put(b"")
        if self._thread.is_alive():
            self._thread.join(LEAVE_SECONDS)

    def _count(self, more: int) -> int:
        with self._lock:
            self.unread += more
            return self.unread

    def _write(self) -> None:
        try:
            with os.fdopen(self._descriptor, "wb") as stream:
                while data := self._waiting.get():
                    stream.write(data)
                    stream.flush()
                    unread = self._count(-len(data))
                    if unread <= PAUSE_BYTES < unread + len(data):
                        self._call(self._resume)
        except OSError:
            self._call(self._on_lost)

    def _resume(self) -> None:
        if self.unread <= PAUSE_BYTES:
            self._room.set()

    def _call(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function)
