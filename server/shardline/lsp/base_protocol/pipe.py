"""Pipes to the parent process, each read or written in a thread."""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable

CHUNK = 1 << 16
"""The most bytes read at once."""

PAUSE_BYTES = 1 << 22
"""Input pauses when a client leaves more than this unread: thousands of answers."""

LEAVE_SECONDS = 2.0
"""The time for a leaving client to read its answers."""


class Input(asyncio.ReadTransport):
    """A transport that feeds `reader` from a descriptor, no faster than it is read.

    A thread reads, because pipes on Windows require it.
    """

    def __init__(self, descriptor: int, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._wanted = threading.Semaphore(1)
        self._paused = False

    def start(self) -> None:
        """Start reading."""
        self._reader.set_transport(self)
        threading.Thread(target=self._read, name="input", daemon=True).start()

    def pause_reading(self) -> None:
        """Pause reading; called by the reader."""
        self._paused = True

    def resume_reading(self) -> None:
        """Resume reading; called by the reader."""
        self._paused = False
        self._wanted.release()

    def _read(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop ended before the input
            data = b"more"
            while data:
                self._wanted.acquire()
                try:
                    data = os.read(self._descriptor, CHUNK)
                except OSError:
                    data = b""  # the client is gone
                self._loop.call_soon_threadsafe(self._feed, data)

    def _feed(self, data: bytes) -> None:
        """Feed the reader in the event loop, then let the thread read more."""
        if not data:
            self._reader.feed_eof()
            return
        self._reader.feed_data(data)
        if not self._paused:
            self._wanted.release()


class Output:
    """A writer to a descriptor in a thread of its own, which outlives the event loop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards `unread`, which both threads change
        self._room = asyncio.Event()
        self._room.set()
        self.unread = 0
        """The number of bytes not written yet."""
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)

    def start(self, on_lost: Callable[[], None]) -> None:
        """Start writing; calls `on_lost` in the running event loop when the reader is gone."""
        self._loop, self._on_lost = asyncio.get_running_loop(), on_lost
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Queue `data` for writing."""
        if self._count(len(data)) > PAUSE_BYTES:
            self._room.clear()
        self._waiting.put(data)

    async def drain(self) -> None:
        """Wait until the client has read all but `PAUSE_BYTES`."""
        await self._room.wait()

    def close(self) -> None:
        """Wait until all is written, for `LEAVE_SECONDS` at most."""
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
