"""Loading state of an engine, with subscribers to its progress."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from shardline.engine import Engine, Progress
from shardline.errors import EngineError, NotReadyError, ShardlineError, first_line
from shardline.limits import memory_limit

BEAT_SECONDS = 2.0
"""Interval of updates without a change."""


class Loading:
    """Loads `engine` once and reports its progress."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._followers: list[Updates] = []
        self.progress: Progress | None = None
        self.ready = False
        self.error: ShardlineError | None = None
        """The reason why the engine can never complete."""

    async def run(self) -> None:
        """Load the engine; raises `ShardlineError`."""
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            loop.call_soon_threadsafe(self._take, progress)

        try:
            await self._engine.load(report)
        except ShardlineError as error:
            self.end(error)
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {first_line(error)}"
            reason = EngineError(f"The model cannot be loaded ({cause}).{memory_limit()}")
            self.end(reason)
            raise reason from error
        await asyncio.sleep(0)  # pending progress comes first
        self.ready = True
        self._publish()

    def end(self, error: ShardlineError) -> None:
        """Refuse all further requests with `error`."""
        self.ready, self.error = False, error
        self._publish()

    async def follow(self) -> AsyncGenerator[Progress | None, None]:
        """Yield the progress now, at each change and every few seconds until `end`; None if it is not loading.

        A slow reader gets only the latest progress of each activity, but misses no activity.
        """
        updates = Updates(self.progress if not (self.ready or self.error) else None)
        self._followers.append(updates)
        try:
            while True:
                yield await updates.next()
                if self.error and updates.is_empty:
                    return
        finally:
            self._followers.remove(updates)

    def check(self) -> None:
        """Raise `NotReadyError` if the engine is not ready yet, or the reason why it never will be."""
        if self.error:
            raise self.error
        if not self.ready:
            raise NotReadyError("The model is still loading; GET /health has its progress.")

    def as_json(self) -> dict[str, Any]:
        """Return the state in llama.cpp's format, with the progress while it loads."""
        if self.ready:
            return {"status": "ok"}
        progress = self.progress or Progress(activity="Starting")
        return {"status": "loading model", "progress": asdict(progress)}

    def _take(self, progress: Progress) -> None:
        self.progress = progress
        self._publish(progress)

    def _publish(self, progress: Progress | None = None) -> None:
        for updates in self._followers:
            updates.add(progress)


class Updates:
    """The updates that one follower has not read yet: the latest of each activity."""

    def __init__(self, first: Progress | None) -> None:
        self._unread = {first and first.activity: first}
        self._available = asyncio.Event()
        self._available.set()

    @property
    def is_empty(self) -> bool:
        """Whether all were read."""
        return not self._unread

    def add(self, progress: Progress | None) -> None:
        """Add an update; it replaces an unread one of the same activity."""
        self._unread[progress and progress.activity] = progress
        self._available.set()

    async def next(self) -> Progress | None:
        """Return the oldest update, or None after `BEAT_SECONDS`, which shows that the engine does not hang."""
        try:
            async with asyncio.timeout(BEAT_SECONDS):
                await self._available.wait()
        except TimeoutError:
            return None
        progress = self._unread.pop(next(iter(self._unread)))
        if self.is_empty:
            self._available.clear()
        return progress
