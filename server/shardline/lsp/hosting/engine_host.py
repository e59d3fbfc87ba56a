"""Lifecycle of the server's engine: load, replace, reload, close."""

import asyncio
from collections.abc import Callable

from shardline.completion import Source, Suggestion
from shardline.completion.completer import Answer, Origin
from shardline.engine import NOTHING_SPENT, Engine, Progress
from shardline.engine.plan import Plan
from shardline.errors import (
    AwayError,
    NoRoomError,
    NotReadyError,
    ShardlineError,
    SupersededError,
    first_line,
)
from shardline.limits import memory_limit
from shardline.lsp.hosting.active_engine import ActiveEngine
from shardline.lsp.hosting.backoff import Backoff
from shardline.lsp.hosting.read_ahead import ReadAhead
from shardline.lsp.status import Status
from shardline.settings import Settings, of_engine

OpenEngine = Callable[[Settings], Engine]
"""Creates the engine for these settings without loading it."""


class EngineHost:
    """The active engine and the one being loaded to replace it.

    `offer` receives whether any engine is active, before the user hears of it.
    """

    def __init__(self, open_engine: OpenEngine, status: Status, offer: Callable[[bool], None]) -> None:
        self._open_engine = open_engine
        self._status = status
        self._offer = offer
        self._settings = Settings()
        self._wanted: Settings | None = None  # the engine settings requested last
        self._active: ActiveEngine | None = None
        self._next: Engine | None = None
        self._loading: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._backoff = Backoff()
        self._closing: list[Engine] = []  # their memory may not be free yet
        self._read_ahead = ReadAhead()

    @property
    def placement(self) -> Plan | None:
        """The plan of the model; None until it is loaded."""
        return self._active.engine.placement if self._active else None

    def apply(self, settings: Settings) -> None:
        """Use these settings; if those of the engine differ, load a new one in the background.

        The active engine answers until then, if the devices have room for both.
        """
        self._settings = settings
        if self._active:
            self._active.use(settings)
        wanted = of_engine(settings)
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._stop_loading()
        if self._active and self._active.opened_by == wanted:
            self._status.ready(wanted.model_name)  # it is still loaded
        else:
            self._loading = asyncio.create_task(self._load(wanted))

    def restart(self, settings: Settings) -> None:
        """Close the active engine and load a new one in the background."""
        self.close()
        self._offer(False)
        self._wanted = None
        self.apply(settings)

    async def answer(self, source: Source, *, by_hand: bool = False) -> Answer:
        """Return what `Completer.answer` does; raises `SupersededError` and `EngineError`."""
        active = self._active
        if active is None:
            raise NotReadyError(self._status.message)
        self._read_ahead.stop()
        try:
            with self._status.busy():
                answer = await active.completer.answer(source, by_hand=by_hand)
        except AwayError as error:
            if active is self._active:
                self._status.unreachable(str(error))
            raise
        except SupersededError:
            if active is self._active:
                raise
            return await self.answer(source, by_hand=by_hand)  # another engine took over
        if usage := answer.suggestions[0].usage:
            self._status.usage = usage
            active.usages.append(usage)
        if answer.origin is not Origin.KNOWN and active is self._active:
            self._status.recovered()
        if answer.origin is Origin.JOINED:
            self._status.report_usage(NOTHING_SPENT, ahead=False)  # its usage was reported for another request
        if active is self._active:
            self._status.report_speed(active.advice())
        return answer

    def ready(self, source: Source) -> Suggestion | None:
        """Return the complete lines so far of the running suggestion for the cursor, or None."""
        return self._active.completer.ready(source) if self._active else None

    def follow(self, source: Source) -> None:
        """Follow an edit, and read ahead around its cursor."""
        if self._active:
            self._active.completer.follow(source)
        self.look_at(source)

    def look_at(self, source: Source) -> None:
        """Read ahead around the cursor of `source` when nothing happens for a while."""
        self._read_ahead.start(self._active.completer if self._active else None, source)

    def close_document(self, document: str) -> None:
        """End the work for a document that was closed and free its KV cache."""
        self._read_ahead.close_document(document)
        if self._active:
            self._active.close_document(document)

    def close(self) -> None:
        """End all work and close the engines."""
        self._stop_loading()
        self._retire()

    def _stop_loading(self) -> None:
        if self._loading:
            self._loading.cancel()
        self._loading = None
        self._drop_next()

    def _drop_next(self) -> None:
        if self._next:
            self._next.close()
            self._closing.append(self._next)
        self._next = None

    def _retire(self) -> None:
        """Close the active engine."""
        self._read_ahead.stop()
        if self._reloading:
            self._reloading.cancel()
        if self._active:
            self._active.close()
            self._closing.append(self._active.engine)
        self._reloading = self._active = None

    async def _load(self, wanted: Settings) -> None:
        await self._status.loading(wanted.model_name)
        try:
            await self._wait_freed()
            engine = self._next = self._open_engine(wanted)
            await self._load_engine(engine, self._active.engine if self._active else None)
        except ShardlineError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001  the server survives any error and reports it
            reason = f"{type(error).__name__}: {first_line(error)}"
            self._fail(f"The model cannot be loaded ({reason}).{memory_limit()}")
        else:
            self._take_over(engine)

    async def _load_engine(self, engine: Engine, beside: Engine | None) -> None:
        """Load an engine beside the active one, or in its place without room for both; retry if it is lost."""
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            if engine is self._next or (self._active and engine is self._active.engine):
                loop.call_soon_threadsafe(self._status.progress, progress)

        while True:
            try:
                return await engine.load(report, beside=beside)
            except NoRoomError:
                if beside is None:
                    raise
                beside = None
                self._retire()
                self._offer(False)
                await self._wait_freed()
            except AwayError as error:
                await self._back_off(error)

    async def _reload_when_lost(self, active: ActiveEngine) -> None:
        """Reload the engine whenever it is lost, unless it was stopped on purpose."""
        now = asyncio.get_running_loop().time
        try:
            self._backoff.succeed(now())
            while isinstance(error := await active.engine.wait_lost(), AwayError):
                await self._back_off(error)
                await self._load_engine(active.engine, None)
                self._backoff.succeed(now())
                self._status.ready(active.opened_by.model_name)
            raise error
        except ShardlineError as reason:
            self._status.failed(str(reason))

    async def _back_off(self, error: AwayError) -> None:
        """Report a lost engine, wait out the backoff, and report that it loads again."""
        self._status.failed(self._with_active_model(str(error), until="it is there"))
        await asyncio.sleep(self._backoff.fail(asyncio.get_running_loop().time()))
        await self._status.loading(self._status.model)

    async def _wait_freed(self) -> None:
        """Wait until closed engines have freed their memory: the devices may not hold more at once."""
        while self._closing:
            await self._closing[0].wait_closed()
            del self._closing[0]

    def _take_over(self, engine: Engine) -> None:
        self._retire()
        self._next = None
        self._active = ActiveEngine(engine, self._settings, self._status.report_usage)
        self._reloading = asyncio.create_task(self._reload_when_lost(self._active))
        self._offer(True)
        self._status.ready(self._active.opened_by.model_name)
        self._read_ahead.start(self._active.completer, pause=0)

    def _fail(self, sentence: str) -> None:
        self._drop_next()
        self._status.failed(self._with_active_model(sentence, until="the settings change"))

    def _with_active_model(self, sentence: str, *, until: str) -> str:
        if self._active is None:
            return sentence
        name = self._active.opened_by.model_name
        return f"{sentence} Until {until}, suggestions come from {name} as before."
