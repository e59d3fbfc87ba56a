"""An engine on its way: how far it is, whether it is ready, and whoever wants to hear of it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from shardline.engine import Engine, Progress
from shardline.errors import EngineError, NotReadyError, ShardlineError, first_line


class Loading:
    """Loads `engine`, once, and tells how far it is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changes = 0
        self._next: asyncio.Future[None] | None = None  # done at the next change, where one is waited for
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
            reason = EngineError(f"The model cannot be loaded ({type(error).__name__}: {first_line(error)}).")
            self.end(reason)
            raise reason from error
        self.ready = True
        self._tell()

    def end(self, error: ShardlineError) -> None:
        """It cannot be asked any more, for this reason."""
        self.ready, self.error = False, error
        self._tell()

    async def follow(self) -> AsyncGenerator[None, None]:
        """Now, and at each change, of which some may be missed, until the engine has ended."""
        told = -1
        while True:
            if told == self._changes:
                if self._next is None:
                    self._next = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._next)
            told = self._changes
            yield
            if self.error:
                return

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
        self._tell()

    def _tell(self) -> None:
        self._changes += 1
        if self._next:
            self._next.set_result(None)
        self._next = None
