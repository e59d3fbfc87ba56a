"""State, progress and messages shown to the user."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from lsprotocol.types import MessageType, ShowMessageParams
from pygls.lsp.server import LanguageServer

from shardline.completion.markdown import plain
from shardline.engine import Progress, Usage
from shardline.lsp.progress_bar import ProgressBar

NOTIFICATION = "shardline/status"
"""Notification of each change, for clients that declare `experimental.shardlineStatus`."""

USAGE = "shardline/usage"
"""Notification of each candidate begun, with the id of its request, for clients that declare
`experimental.shardlineUsage`. A request without one was answered from the cache."""

REPORT_SECONDS = 0.1
"""The shortest time between two reports of progress in one activity."""

BUSY_SECONDS = 0.3
"""The state becomes busy when a suggestion takes longer than this."""


class State(StrEnum):
    """The state of the model."""

    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    BUSY = "busy"
    """A suggestion has been in the making for `BUSY_SECONDS`."""
    SLOW = "slow"
    """It answers, but does not keep up with typing."""
    FAILED = "failed"


class Status:
    """The state of the model; notifies the client of changes."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._bar = ProgressBar(server)
        self._messages: set[str] = set()
        self._latest = self._shown = Progress(activity="")
        self._until_report: asyncio.TimerHandle | None = None
        self._waiting = 0  # suggestions in the making
        self._until_busy: asyncio.TimerHandle | None = None
        self._advice = ""  # how to make a slow model faster
        self._advised = False
        self.state = State.STARTING
        self._unreachable = False
        self.message = "The model has not been asked for yet."
        self.model = ""
        self.percentage: int | None = None
        """The percentage loaded, while known."""
        self.usage: Usage | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the state as `shardline.status` answers it, with the last request's usage if there was one."""
        status: dict[str, Any] = {"state": self.state, "message": self.message, "model": self.model}
        if self.percentage is not None:
            status["percentage"] = self.percentage
        if self.usage:
            status["usage"] = self.usage.as_json()
        return status

    async def loading(self, model: str) -> None:
        """Report that loading began; open a progress bar if the client has them."""
        self.model = plain(model)
        self._change(State.LOADING, f"Loading {model}")
        await self._bar.begin(self.message)

    def progress(self, progress: Progress) -> None:
        """Report progress of loading."""
        if self.state is State.LOADING:
            self._latest = progress
            if self._until_report is None or progress.activity != self._shown.activity:
                self._report()

    def ready(self, model: str) -> None:
        """Report that this model can answer."""
        self._messages.clear()
        self._unreachable = False
        self._advice, self._advised = "", False
        self._bar.end("Ready")
        self.model = plain(model)
        self._change(State.READY, f"{model} is ready.")

    def failed(self, sentence: str) -> None:
        """Report that the model cannot load, for the reason in `sentence`; the message comes before the state."""
        self.show(sentence)
        self._bar.end("Failed")
        self._change(State.FAILED, sentence)

    def unreachable(self, sentence: str) -> None:
        """Report that the engine is unreachable, for the reason in `sentence`; the next answer ends that."""
        self.show(sentence)
        if self.state in (State.READY, State.SLOW, State.BUSY):
            self._unreachable = True
            self._change(State.FAILED, sentence)

    def recovered(self) -> None:
        """Report that the engine answered."""
        if self._unreachable:
            self.ready(self.model)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Be busy if the block takes a while."""
        if not self._waiting:
            self._until_busy = asyncio.get_running_loop().call_later(BUSY_SECONDS, self._become_busy)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                _cancel(self._until_busy)
                if self.state is State.BUSY:
                    self._become_idle()

    def report_speed(self, advice: str) -> None:
        """Report a slow model with `advice`, shown only once, or a fast one without."""
        if self.state not in (State.READY, State.SLOW, State.BUSY):
            return  # another model is loading
        self._advice = advice
        if advice and not self._advised:
            self._advised = True
            self.show(advice, MessageType.Warning)
        if self.state is not State.BUSY:
            self._become_idle()

    def report_usage(self, usage: Usage, ahead: bool) -> None:
        """Report the usage of a candidate, finished or not, for the current request or prefetched after it."""
        if self._declares("shardlineUsage"):
            params = {"id": self._server.protocol.msg_id, "ahead": ahead, **usage.as_json()}
            self._server.protocol.notify(USAGE, params)

    def show(self, sentence: str, kind: MessageType = MessageType.Error) -> None:
        """Show the user one sentence, each only once until the model is ready again."""
        if sentence not in self._messages:
            self._messages.add(sentence)
            self._server.window_show_message(ShowMessageParams(kind, f"Shardline: {plain(sentence)}"))

    def _report(self) -> None:
        """Show the latest progress, and again after `REPORT_SECONDS` while it changes."""
        _cancel(self._until_report)
        self._until_report = None
        if self._latest is self._shown:
            return
        self._shown = self._latest
        self.message = plain(in_words(self._shown))
        self.percentage = 100 * self._shown.done // self._shown.total if self._shown.total else None
        self._bar.report(self.message, self.percentage)
        self._notify()
        self._until_report = asyncio.get_running_loop().call_later(REPORT_SECONDS, self._report)

    def _become_busy(self) -> None:
        if self.state in (State.READY, State.SLOW):
            self._change(State.BUSY, f"{self.model} is making a suggestion.")

    def _become_idle(self) -> None:
        """Return to the state without a suggestion in the making."""
        state, message = (State.SLOW, self._advice) if self._advice else (State.READY, f"{self.model} is ready.")
        if state is not self.state:
            self._change(state, message)

    def _change(self, state: State, message: str) -> None:
        _cancel(self._until_report)
        self._until_report = None
        self.state, self.message, self.percentage = state, plain(message), None
        self._notify()

    def _notify(self) -> None:
        if self._declares("shardlineStatus"):
            self._server.protocol.notify(NOTIFICATION, self.as_json())

    def _declares(self, name: str) -> bool:
        experimental = self._server.client_capabilities.experimental
        return isinstance(experimental, dict) and bool(experimental.get(name))


def in_words(progress: Progress) -> str:
    """Return one line for a progress bar, such as Downloading x: 12 of 93 MB."""
    if not progress.total:
        return progress.activity
    scale, unit = {"bytes": (1e6, "MB"), "parameters": (1e6, "million parameters")}.get(
        progress.unit, (1, progress.unit)
    )
    return f"{progress.activity}: {progress.done / scale:.0f} of {progress.total / scale:.0f} {unit}"


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer:
        timer.cancel()
