"""Life of the engine: started, replaced when settings change, closed."""

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
from shardline.lsp.hosting.active_engine import Serving
from shardline.lsp.hosting.backoff import Patience
from shardline.lsp.hosting.read_ahead import ReadAhead
from shardline.lsp.status import Status
from shardline.settings import Settings, of_engine

OpenEngine = Callable[[Settings], Engine]
"""Makes the engine for these settings; does no work yet."""


class EngineHost:
    """Holds the engine that answers, and the one that is being loaded to take its place.

    `offer` learns whether an engine answers, before the user does.
    """

    def __init__(self, open_engine: OpenEngine, status: Status, offer: Callable[[bool], None]) -> None:
        self._open_engine = open_engine
        self._status = status
        self._offer = offer
        self._settings = Settings()  # those that were applied last
        self._wanted: Settings | None = None  # what is loaded, or was to be
        self._serving: Serving | None = None
        self._coming: Engine | None = None
        self._loading: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._patience = Patience()
        self._leaving: list[Engine] = []  # closed, but their memory may not be free yet
        self._read_ahead = ReadAhead()

    @property
    def placement(self) -> Plan | None:
        """Which layers are on which device; empty until the model is loaded."""
        return self._serving.engine.placement if self._serving else None

    def apply(self, settings: Settings) -> None:
        """Use these settings: those of generation at once, those of the engine by loading it anew if they differ.

        The engine that is there answers until the new one is ready, if the devices have room for both.
        """
        self._settings = settings
        if self._serving:
            self._serving.use(settings)
        wanted = of_engine(settings)
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._stop_loading()
        if self._serving and self._serving.opened_by == wanted:
            self._status.ready(wanted.model_name)  # it is there still
        else:
            self._loading = asyncio.create_task(self._load(wanted))

    def restart(self, settings: Settings) -> None:
        """Close the engine, if there is one, and load a new one in the background."""
        self.close()
        self._offer(False)
        self._wanted = None
        self.apply(settings)

    async def answer(self, source: Source, *, by_hand: bool = False) -> Answer:
        """Suggest what follows the cursor, as `Completer.answer` does; raises `SupersededError` and `EngineError`."""
        serving = self._serving
        if serving is None:
            raise NotReadyError(self._status.message)
        self._read_ahead.stop()
        try:
            with self._status.busy():
                answer = await serving.completer.answer(source, by_hand=by_hand)
        except AwayError as error:
            if serving is self._serving:
                self._status.away(str(error))
            raise
        except SupersededError:
            if serving is self._serving:
                raise
            return await self.answer(source, by_hand=by_hand)  # another engine has taken over
        if usage := answer.suggestions[0].usage:
            self._status.usage = usage
            serving.costs.append(usage)
        if answer.origin is not Origin.KNOWN and serving is self._serving:
            self._status.back()
        if answer.origin is Origin.JOINED:
            self._status.spent(NOTHING_SPENT, ahead=False)  # its usage was reported for another request
        if serving is self._serving:
            self._status.keeps_up(serving.advice())
        return answer

    def ready(self, source: Source) -> Suggestion | None:
        """Return the complete lines so far of the suggestion that is being made for the cursor, if there are any."""
        return self._serving.completer.ready(source) if self._serving else None

    def follow(self, source: Source) -> None:
        """Take the document's new state; the user is likely to be there."""
        if self._serving:
            self._serving.completer.follow(source)
        self.look_at(source)

    def look_at(self, source: Source) -> None:
        """Read ahead around the cursor of `source` when nothing happens for a while."""
        self._read_ahead.start(self._serving.completer if self._serving else None, source)

    def close_document(self, document: str) -> None:
        """End the work for a document that was closed and free its KV cache."""
        self._read_ahead.close_document(document)
        if self._serving:
            self._serving.close_document(document)

    def close(self) -> None:
        """End all work and let the model go."""
        self._stop_loading()
        self._retire()

    def _stop_loading(self) -> None:
        if self._loading:
            self._loading.cancel()
        self._loading = None
        self._drop_coming()

    def _drop_coming(self) -> None:
        if self._coming:
            self._coming.close()
            self._leaving.append(self._coming)
        self._coming = None

    def _retire(self) -> None:
        """Close the engine that answers."""
        self._read_ahead.stop()
        if self._keeping:
            self._keeping.cancel()
        if self._serving:
            self._serving.close()
            self._leaving.append(self._serving.engine)
        self._keeping = self._serving = None

    async def _load(self, wanted: Settings) -> None:
        await self._status.loading(wanted.model_name)
        try:
            await self._until_left()
            engine = self._coming = self._open_engine(wanted)
            await self._read(engine, self._serving.engine if self._serving else None)
        except ShardlineError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, the server stays and the user hears of it
            reason = f"{type(error).__name__}: {first_line(error)}"
            self._fail(f"The model cannot be loaded ({reason}).{memory_limit()}")
        else:
            self._take_over(engine)

    async def _read(self, engine: Engine, beside: Engine | None) -> None:
        """Load it beside the one that answers, or else in its place; again, where it is lost on the way."""
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            if engine is self._coming or (self._serving and engine is self._serving.engine):
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
                await self._until_left()
            except AwayError as error:
                await self._wait_after(error)

    async def _keep(self, serving: Serving) -> None:
        """Load its engine again whenever it is lost, unless it was stopped on purpose."""
        now = asyncio.get_running_loop().time
        try:
            self._patience.rest(now())
            while isinstance(error := await serving.engine.wait_lost(), AwayError):
                await self._wait_after(error)
                await self._read(serving.engine, None)
                self._patience.rest(now())
                self._status.ready(serving.opened_by.model_name)
            raise error
        except ShardlineError as reason:
            self._status.failed(str(reason))

    async def _wait_after(self, error: AwayError) -> None:
        """Tell that an engine was lost, and when it is time for it, that it is loaded again."""
        self._status.failed(self._with_what_answers(str(error), until="it is there"))
        await asyncio.sleep(self._patience.pause(asyncio.get_running_loop().time()))
        await self._status.loading(self._status.model)

    async def _until_left(self) -> None:
        """Wait until those that were closed have freed their memory: more at once may be too much for the devices."""
        while self._leaving:
            await self._leaving[0].wait_closed()
            del self._leaving[0]

    def _take_over(self, engine: Engine) -> None:
        self._retire()
        self._coming = None
        self._serving = Serving(engine, self._settings, self._status.spent)
        self._keeping = asyncio.create_task(self._keep(self._serving))
        self._offer(True)
        self._status.ready(self._serving.opened_by.model_name)
        self._read_ahead.start(self._serving.completer, pause=0)

    def _fail(self, sentence: str) -> None:
        self._drop_coming()
        self._status.failed(self._with_what_answers(sentence, until="the settings change"))

    def _with_what_answers(self, sentence: str, *, until: str) -> str:
        if self._serving is None:
            return sentence
        name = self._serving.opened_by.model_name
        return f"{sentence} Until {until}, suggestions come from {name} as before."
