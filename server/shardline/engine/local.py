"""The engine on this machine: one worker thread, one queue, one model.

torch is imported by that thread, when the model is loaded; importing this module costs nothing.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from shardline.engine import Chunk, Engine, Progress, Report, Request
from shardline.errors import EngineError, GenerationError, NotReadyError, ShardlineError, first_line
from shardline.settings import ModelSettings

if TYPE_CHECKING:
    from shardline.engine.runner import Runner

Job = Callable[[], None]
T = TypeVar("T")

Opener = Callable[[ModelSettings, Report, Mapping[str, Any]], "Runner"]
"""Finds and loads a model beside the one that has this placement, which is empty where there is none."""


def _open_runner(settings: ModelSettings, report: Report, beside: Mapping[str, Any]) -> "Runner":
    from shardline.engine.runner import open_runner  # imports torch

    return open_runner(settings, report, beside)


class LocalEngine:
    """Runs a model in a thread of its own, one request after another; `opener` finds and loads it in that thread."""

    def __init__(self, settings: ModelSettings, opener: Opener = _open_runner) -> None:
        self._settings = settings
        self._opener = opener
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._runner: Runner | None = None
        self._closed = threading.Event()
        self._ended: Future[None] = Future()
        self._ended.set_running_or_notify_cancel()  # whoever gives up waiting for it must not end it for others
        self._end_of_warming = threading.Event()
        # A process that fails before it has closed the engine must still be able to end.
        self._thread = threading.Thread(target=self._work, name="shardline-engine", daemon=True)
        self._thread.start()

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:
        """Find or fetch the model, plan its placement and read its weights; raises `EngineError`."""
        loaded: Future[None] = Future()
        other = beside.placement if beside else {}

        def report_unless_closed(progress: Progress) -> None:
            if self._closed.is_set():
                raise NotReadyError("The model was closed while it was loading.")
            report(progress)

        def job() -> None:
            if not loaded.set_running_or_notify_cancel():
                return
            try:
                self._runner = self._opener(self._settings, report_unless_closed, other)
            except BaseException as error:  # noqa: BLE001  carried over to whoever awaits `load`
                loaded.set_exception(error)
            else:
                loaded.set_result(None)

        self._jobs.put(job)
        await asyncio.wrap_future(loaded)

    async def wait_lost(self) -> ShardlineError:
        """Never: it is in this process."""
        never: asyncio.Future[ShardlineError] = asyncio.get_running_loop().create_future()
        return await never

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream what follows the prefix; raises `EngineError`."""
        loop = asyncio.get_running_loop()
        stream: asyncio.Queue[Chunk | BaseException] = asyncio.Queue()
        cancelled = threading.Event()
        self._end_of_warming.set()

        def tell(item: Chunk | BaseException) -> None:
            if not self._closed.is_set():  # else the loop may be gone
                loop.call_soon_threadsafe(stream.put_nowait, item)

        def job() -> None:
            if cancelled.is_set():
                return  # while it waited in the queue
            try:
                for chunk in self._chunks(request, cancelled):
                    tell(chunk)
                if self._jobs.empty() and not self._closed.is_set():
                    self._loaded().prepare(request.document)  # the answer is out, and nobody waits for another
            except Exception as error:  # noqa: BLE001  the one door through which foreign errors leave
                tell(_as_engine_error(error))

        self._jobs.put(job)
        try:
            while True:
                item = await stream.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                if item.finish_reason is not None:
                    return
        finally:
            cancelled.set()

    async def warm(self, request: Request) -> None:
        """Read the prompt of `request`, unless and until something else is asked; raises `EngineError`."""
        self._end_of_warming.set()
        ended = self._end_of_warming = threading.Event()
        await self._answer(lambda: self._loaded().warm(request, ended), ended)

    def forget(self, document: str) -> None:
        """Free what is kept for a document that was closed, when the thread comes to it."""
        self._jobs.put(lambda: self._runner.forget(document) if self._runner else None)

    async def score_suffix(self, request: Request, texts: Sequence[str]) -> Sequence[float]:
        """For each of `texts`, put at the cursor, how probable it makes the next lines of the suffix."""
        self._end_of_warming.set()
        cancelled = threading.Event()
        return await self._answer(lambda: self._loaded().score_suffix(request, texts, cancelled), cancelled)

    @property
    def infills(self) -> bool:
        """Whether the model can be shown what follows the cursor; False until it is loaded."""
        return self._runner is not None and self._runner.infills

    @property
    def placement(self) -> Mapping[str, Any]:
        """The plan the model was placed by; empty until it is loaded."""
        return self._runner.plan.as_json() if self._runner else {}

    def close(self) -> None:
        """End all work; the thread frees the model as soon as its current step is done."""
        self._closed.set()
        self._jobs.put(None)

    async def wait_closed(self) -> None:
        """Wait until the thread has ended, and with it the model."""
        await asyncio.wrap_future(self._ended)
        self._thread.join()

    async def _answer(self, work: Callable[[], T], cancelled: threading.Event) -> T:
        """What `work` returns in the thread; `cancelled` is set when nobody waits for it any more."""
        answer: Future[T] = Future()

        def job() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(work())
            except Exception as error:  # noqa: BLE001  as in `complete`
                answer.set_exception(_as_engine_error(error))

        self._jobs.put(job)
        try:
            return await asyncio.wrap_future(answer)
        finally:
            cancelled.set()

    def _chunks(self, request: Request, cancelled: threading.Event) -> Iterator[Chunk]:
        for chunk in self._loaded().complete(request, cancelled):
            if self._closed.is_set():
                return
            yield chunk

    def _loaded(self) -> "Runner":
        if self._runner is None:
            raise NotReadyError("The model is not loaded.")
        return self._runner

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not self._closed.is_set():
                job()
        runner, self._runner = self._runner, None
        if runner:
            runner.close()
        self._ended.set_result(None)


def _as_engine_error(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    return GenerationError(f"The model failed while completing ({type(error).__name__}: {first_line(error)}).")
