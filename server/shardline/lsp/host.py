"""The life of the engine behind the server: started, replaced when the model's settings change, closed."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from shardline.completion import Source, Suggestion
from shardline.completion.completer import Completer
from shardline.engine import Engine, Progress
from shardline.errors import EngineError, NotReadyError, ShardlineError, first_line
from shardline.lsp.status import Status
from shardline.settings import ModelSettings, Settings

OpenEngine = Callable[[ModelSettings], Engine]
"""Makes the engine for these settings; does no work yet."""

PAUSE_SECONDS = 0.3
"""How long nothing must be opened, typed or asked until the engine reads ahead."""

log = logging.getLogger(__name__)


class EngineHost:
    """Holds the one engine of this server, and the completer in front of it."""

    def __init__(self, open_engine: OpenEngine, status: Status) -> None:
        self._open_engine = open_engine
        self._status = status
        self._engine: Engine | None = None
        self._completer: Completer | None = None  # there once the engine is ready
        self._loading: asyncio.Task[None] | None = None
        self._settings: ModelSettings | None = None
        self._looked_at: Source | None = None
        self._warming: asyncio.Task[None] | None = None

    @property
    def placement(self) -> Mapping[str, Any]:
        """Which layers are on which device; empty until the model is loaded."""
        return self._engine.placement if self._engine else {}

    def apply(self, settings: Settings) -> None:
        """Use these settings: those of generation at once, those of the model by loading it anew if they differ."""
        if self._settings != settings.model:
            self.restart(settings)
        elif self._completer:
            self._completer.settings = settings

    def restart(self, settings: Settings) -> None:
        """Close the engine, if there is one, and load a new one in the background."""
        before = self._engine
        self.close()
        self._settings = settings.model
        self._engine = self._open_engine(settings.model)
        self._loading = asyncio.create_task(self._load(self._engine, settings, before))

    async def suggest(self, source: Source, *, several: bool = False) -> list[Suggestion]:
        """Suggest what follows the cursor, the best first; raises `SupersededError` and `EngineError`."""
        if self._completer is None:
            raise NotReadyError(self._status.message)
        self._stop_warming()
        if several:
            suggestions = await self._completer.suggest_several(source)
        else:
            suggestions = [await self._completer.suggest(source)]
        self._status.usage = suggestions[0].usage or self._status.usage
        return suggestions

    def look_at(self, source: Source) -> None:
        """Take note of where the user works: when nothing happens for a while, the engine reads ahead there."""
        self._looked_at = source
        self._warm_after(PAUSE_SECONDS)

    def forget(self, document: str) -> None:
        """End what is being made for a document that was closed."""
        if self._looked_at and self._looked_at.document == document:
            self._stop_warming()
            self._looked_at = None
        if self._completer:
            self._completer.forget(document)
        if self._engine:
            self._engine.forget(document)

    def close(self) -> None:
        """End all work and let the model go."""
        self._stop_warming()
        if self._loading:
            self._loading.cancel()
        if self._completer:
            self._completer.cancel_all()
        if self._engine:
            self._engine.close()
        self._engine = self._completer = self._loading = None

    async def _load(self, engine: Engine, settings: Settings, before: Engine | None) -> None:
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            if engine is self._engine:
                loop.call_soon_threadsafe(self._status.progress, progress)

        await self._status.loading(settings.model.name)
        try:
            if before:
                await before.wait_closed()  # two models at once may be more than the devices hold
            await engine.load(report)
        except ShardlineError as error:
            self._status.failed(str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, the server stays and the user is told
            self._status.failed(
                str(EngineError(f"The model cannot be loaded ({type(error).__name__}: {first_line(error)})."))
            )
        else:
            self._completer = Completer(engine, settings, on_usage=self._status.spent)
            self._status.ready()
            self._warm_after(0)

    def _warm_after(self, seconds: float) -> None:
        self._stop_warming()
        if self._completer and self._looked_at:
            self._warming = asyncio.create_task(self._warm(self._completer, self._looked_at, seconds))

    def _stop_warming(self) -> None:
        if self._warming:
            self._warming.cancel()
        self._warming = None

    async def _warm(self, completer: Completer, source: Source, seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            await completer.warm(source)
        except EngineError as error:
            log.warning("Nothing was read ahead. %s", error)  # whoever asks for a suggestion is told
