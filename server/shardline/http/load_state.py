"""An engine on its way: how far it is, whether it is ready, and whoever wants to hear of it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from shardline.engine import Engine, Progress
from shardline.errors import EngineError, NotReadyError, ShardlineError, first_line
from shardline.limits import memory_limit

BEAT_SECONDS = 2.0
"""Who follows hears something at least this often."""


class Loading:
    """Loads `engine`, once, and tells how far it is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._followers: list[News] = []
        self.progress: Progress | None = None
        self.ready = False
        self.error: ShardlineError | None = None
        """Why it cannot be asked, and never will be."""

    async def run(self) -> None:
        """Load the engine; raises `ShardlineError` where that fails."""
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            loop.call_soon_threadsafe(self._take, progress)

        try:
            await self._engine.load(report)
        except ShardlineError as error:
            self.end(error)
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {first_line(error)}"
            reason = EngineError(f"The model cannot be loaded ({told}).{memory_limit()}")
            self.end(reason)
            raise reason from error
        await asyncio.sleep(0)  # what it has reported is told first
        self.ready = True
        self._tell()

    def end(self, error: ShardlineError) -> None:
        """It cannot be asked any more, for this reason."""
        self.ready, self.error = False, error
        self._tell()

    async def follow(self) -> AsyncGenerator[Progress | None, None]:
        """How far it is, now, at each change and every few seconds, until it has ended; None where it does not load.

        No activity is missed; of one only the latest progress is told to who is slow.
        """
        news = News(self.progress if not (self.ready or self.error) else None)
        self._followers.append(news)
        try:
            while True:
                yield await news.next()
                if self.error and news.is_empty:
                    return
        finally:
            self._followers.remove(news)

    def check(self) -> None:
        """Raise `NotReadyError` where the engine cannot be asked yet, or the reason why it never can."""
        if self.error:
            raise self.error
        if not self.ready:
            raise NotReadyError("The model is still loading; GET /health tells how far it is.")

    def as_json(self) -> dict[str, Any]:
        """The state in llama.cpp's words, with the progress while it loads."""
        if self.ready:
            return {"status": "ok"}
        progress = self.progress or Progress(activity="Starting")
        return {"status": "loading model", "progress": asdict(progress)}

    def _take(self, progress: Progress) -> None:
        self.progress = progress
        self._tell(progress)

    def _tell(self, progress: Progress | None = None) -> None:
        for news in self._followers:
            news.add(progress)


class News:
    """What one follower has not heard yet: of each activity the latest."""

    def __init__(self, first: Progress | None) -> None:
        self._unheard = {first and first.activity: first}
        self._some = asyncio.Event()
        self._some.set()

    @property
    def is_empty(self) -> bool:
        """Whether all was heard."""
        return not self._unheard

    def add(self, progress: Progress | None) -> None:
        """This is how it is now."""
        self._unheard[progress and progress.activity] = progress
        self._some.set()

    async def next(self) -> Progress | None:
        """The oldest, when there is one, or None after a while: only an engine that hangs is silent."""
        try:
            async with asyncio.timeout(BEAT_SECONDS):
                await self._some.wait()
        except TimeoutError:
            return None
        progress = self._unheard.pop(next(iter(self._unheard)))
        if self.is_empty:
            self._some.clear()
        return progress
