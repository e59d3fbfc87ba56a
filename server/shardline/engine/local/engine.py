"""The engine in this process: one thread, one queue, one model.

The thread imports torch when it loads the model; importing this module costs nothing.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from shardline.engine import Chunk, Engine, Progress, Report, Request, never_lost
from shardline.engine.local.chunk_coalescing import Coalescing
from shardline.engine.plan import Plan
from shardline.errors import EngineError, GenerationError, NotReadyError, ShardlineError, first_line
from shardline.settings import ModelSettings

if TYPE_CHECKING:
    from shardline.engine.local.runner import Runner

LEAVE_SECONDS = 0.002
"""Time to cancel after the first line: another step would take the CPUs from the client that decides."""

Job = Callable[[], None]

Opener = Callable[[ModelSettings, Report, Plan | None], "Runner"]
"""Finds and loads a model beside another one of this placement, empty if there is none."""


def _open_runner(settings: ModelSettings, report: Report, beside: Plan | None) -> "Runner":
    from shardline.engine.local.opener import open_runner  # imports torch

    return open_runner(settings, report, beside)


class LocalEngine:
    """An engine with a thread of its own; `opener` finds and loads the model in that thread."""

    def __init__(self, settings: ModelSettings, opener: Opener = _open_runner) -> None:
        self._settings = settings
        self._opener = opener
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._when_idle: deque[Job] = deque()
        self._runner: Runner | None = None
        self._closed = threading.Event()
        self._ended: Future[None] = Future()
        self._ended.set_running_or_notify_cancel()  # a cancelled waiter must not cancel it for others
        self._end_of_warming = threading.Event()
        # Daemon: a process that fails before it closes the engine must still end.
        self._thread = threading.Thread(target=self._work, name="shardline-engine", daemon=True)
        self._thread.start()

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:
        """Find or download the model, plan its placement and read its weights; raises `EngineError`."""
        loaded: Future[None] = Future()
        other = beside.placement if beside else None

        def report_unless_closed(progress: Progress) -> None:
            if self._closed.is_set():
                raise NotReadyError("The model was closed while it was loading.")
            report(progress)

        def job() -> None:
            if not loaded.set_running_or_notify_cancel():
                return
            try:
                self._runner = self._opener(self._settings, report_unless_closed, other)
            except BaseException as error:  # noqa: BLE001  goes to the task that awaits `load`
                loaded.set_exception(error)
            else:
                loaded.set_result(None)

        self._jobs.put(job)
        await asyncio.wrap_future(loaded)

    async def wait_lost(self) -> ShardlineError:
        """Wait for ever: an engine in this process cannot be lost."""
        return await never_lost()

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream the completion of `request`; raises `EngineError`."""
        loop = asyncio.get_running_loop()
        stream: asyncio.Queue[Chunk | BaseException] = asyncio.Queue()
        ended: Future[None] = Future()
        cancelled = threading.Event()
        coalescing = Coalescing()

        def send(item: Chunk | BaseException) -> None:
            if not self._closed.is_set():  # a closed engine's loop may be gone
                loop.call_soon_threadsafe(stream.put_nowait, item)

        def report(chunk: Chunk) -> None:
            if due := coalescing.add(chunk, time.monotonic()):
                send(due)
                if coalescing.may_end and self._loaded().is_alone:
                    cancelled.wait(LEAVE_SECONDS)

        def job() -> None:
            try:
                self._loaded().ask(request, report=report, ended=ended, cancelled=cancelled)
            except NotReadyError as error:
                ended.set_exception(error)

        ended.add_done_callback(lambda _: send(_as_engine_error(error)) if (error := ended.exception()) else None)
        self._end_of_warming.set()
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
        """Prefill the prompt of `request`, unless and until anything else is asked; raises `EngineError`."""
        self._end_of_warming.set()
        end_of_warming = self._end_of_warming = threading.Event()
        ended: Future[None] = Future()
        ended.set_running_or_notify_cancel()  # a task that gives up waiting sets the event instead

        def job() -> None:
            try:
                self._loaded().warm(request, end_of_warming)
                ended.set_result(None)
            except Exception as error:  # noqa: BLE001  goes to the one who asked
                ended.set_exception(error)

        self._jobs.put(lambda: self._when_idle.append(job))
        try:
            await asyncio.wrap_future(ended)
        except Exception as error:
            raise _as_engine_error(error) from error
        finally:
            end_of_warming.set()

    def forget(self, document: str) -> None:
        """Free the KV cache of a closed document, after the current step."""
        self._jobs.put(lambda: self._runner.forget(document) if self._runner else None)

    @property
    def infills(self) -> bool:
        """Whether the model is made for infilling; False until it is loaded."""
        return self._runner is not None and self._runner.infills

    @property
    def placement(self) -> Plan | None:
        """The model's plan; None until it is loaded."""
        return self._runner.plan if self._runner else None

    def close(self) -> None:
        """End all work; the thread frees the model after its current step."""
        self._closed.set()
        self._jobs.put(None)

    async def wait_closed(self) -> None:
        """Wait until the thread has freed the model and ended."""
        await asyncio.wrap_future(self._ended)
        self._thread.join()

    def _loaded(self) -> "Runner":
        if self._runner is None:
            raise NotReadyError("The model is not loaded.")
        return self._runner

    def _work(self) -> None:
        while self._do_jobs():
            runner = self._loaded()
            runner.step()
            if runner.is_idle and self._jobs.empty():
                runner.prepare()  # after the last answer, so that nobody waits for it
        last, self._runner = self._runner, None
        if last:
            last.close()
        self._ended.set_result(None)

    def _do_jobs(self) -> bool:
        """Do the jobs queued since the last step; wait for one while idle. Return False once the engine is closed."""
        while True:
            idle = self._runner is None or self._runner.is_idle
            if not idle and self._jobs.empty():
                return True
            waits = idle and self._jobs.empty() and self._when_idle
            job = self._when_idle.popleft() if waits else self._jobs.get()
            if job is None:
                return False
            if not self._closed.is_set():
                job()


def _as_engine_error(error: BaseException) -> EngineError:
    if isinstance(error, EngineError):
        return error
    return GenerationError(f"The model failed while completing ({type(error).__name__}: {first_line(error)}).")
