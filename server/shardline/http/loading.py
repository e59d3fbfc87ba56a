"""An engine on its way: how far it is, and whether it is ready."""

from typing import Any

from shardline.engine import Engine, Progress
from shardline.errors import NotReadyError


class Loading:
    """Loads `engine`, once, and tells how far it is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._progress = Progress(activity="Starting")
        self.ready = False

    async def run(self) -> None:
        """Load the engine; raises `ShardlineError` where that fails."""
        await self._engine.load(self._take)
        self.ready = True

    def check(self) -> None:
        """Raise `NotReadyError` where the engine cannot be asked yet."""
        if not self.ready:
            raise NotReadyError("The model is still loading; GET /health tells how far it is.")

    def as_json(self) -> dict[str, Any]:
        """The state in llama.cpp's words, with the progress while it loads."""
        if self.ready:
            return {"status": "ok"}
        progress = self._progress
        return {
            "status": "loading model",
            "progress": {
                "activity": progress.activity,
                "done": progress.done,
                "total": progress.total,
                "unit": progress.unit,
            },
        }

    def _take(self, progress: Progress) -> None:
        self._progress = progress
