"""Status for the user: state, loading progress, one sentence of failure."""

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
"""Sent at each change to clients that declare `experimental.shardlineStatus`."""

USAGE = "shardline/usage"
"""Sent for each candidate that was begun, with the id of the request it was begun for, to clients that declare
`experimental.shardlineUsage`: a request that is answered without it was answered from what was known."""

REPORT_SECONDS = 0.1
"""Seconds between two reports of one activity's progress, at least."""

BUSY_SECONDS = 0.3
"""Seconds until a suggestion in the making is reported as busy."""


class State(StrEnum):
    """What the model is doing."""

    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    BUSY = "busy"
    """A suggestion is being made, for a while already."""
    SLOW = "slow"
    """It can be asked, but does not keep up with typing."""
    FAILED = "failed"


class Status:
    """The state, sent to the client when it changes."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._bar = ProgressBar(server)
        self._told: set[str] = set()
        self._latest = self._shown = Progress(activity="")
        self._until_report: asyncio.TimerHandle | None = None
        self._waiting = 0  # how many suggestions are waited for
        self._until_busy: asyncio.TimerHandle | None = None
        self._advice = ""  # what would help where it is slow
        self._advised = False
        self.state = State.STARTING
        self._away = False
        self.message = "The model has not been asked for yet."
        self.model = ""
        self.percentage: int | None = None
        """How far loading is, while that is known."""
        self.usage: Usage | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the state as `shardline.status` answers it, with the last request's tokens and seconds."""
        status: dict[str, Any] = {"state": self.state, "message": self.message, "model": self.model}
        if self.percentage is not None:
            status["percentage"] = self.percentage
        if self.usage:
            status["usage"] = self.usage.as_json()
        return status

    async def loading(self, model: str) -> None:
        """Report that loading has begun: open a progress bar where the client has them."""
        self.model = plain(model)
        self._change(State.LOADING, f"Loading {model}")
        await self._bar.begin(self.message)

    def progress(self, progress: Progress) -> None:
        """Report how far loading is."""
        if self.state is State.LOADING:
            self._latest = progress
            if self._until_report is None or progress.activity != self._shown.activity:
                self._report()

    def ready(self, model: str) -> None:
        """Report that this model can be asked."""
        self._told.clear()
        self._away = False
        self._advice, self._advised = "", False
        self._bar.end("Ready")
        self.model = plain(model)
        self._change(State.READY, f"{model} is ready.")

    def failed(self, sentence: str) -> None:
        """Report that the model failed, for the reason in `sentence`, which the user has seen already."""
        self.show(sentence)
        self._bar.end("Failed")
        self._change(State.FAILED, sentence)

    def away(self, sentence: str) -> None:
        """Report that the engine cannot be reached, for the reason in `sentence`; the next answer ends that."""
        self.show(sentence)
        if self.state in (State.READY, State.SLOW, State.BUSY):
            self._away = True
            self._change(State.FAILED, sentence)

    def back(self) -> None:
        """Report that the engine has answered."""
        if self._away:
            self.ready(self.model)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While a suggestion is waited for."""
        if not self._waiting:
            self._until_busy = asyncio.get_running_loop().call_later(BUSY_SECONDS, self._tell_busy)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                _cancel(self._until_busy)
                if self.state is State.BUSY:
                    self._rest()

    def keeps_up(self, advice: str) -> None:
        """Whether the model keeps up with typing: it does where there is no `advice`, which is shown only once."""
        if self.state not in (State.READY, State.SLOW, State.BUSY):
            return  # another one is to take its place
        self._advice = advice
        if advice and not self._advised:
            self._advised = True
            self.show(advice, MessageType.Warning)
        if self.state is not State.BUSY:
            self._rest()

    def spent(self, usage: Usage, ahead: bool) -> None:
        """Report the usage of a candidate, finished or not, of this request or of a prefetched one."""
        if self._declares("shardlineUsage"):
            spent = {"id": self._server.protocol.msg_id, "ahead": ahead, **usage.as_json()}
            self._server.protocol.notify(USAGE, spent)

    def show(self, sentence: str, kind: MessageType = MessageType.Error) -> None:
        """Show the user one sentence; the same one only once until the model is ready again."""
        if sentence not in self._told:
            self._told.add(sentence)
            self._server.window_show_message(ShowMessageParams(kind, f"Shardline: {plain(sentence)}"))

    def _report(self) -> None:
        """Show the latest progress, and the next time look whether there was more."""
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

    def _tell_busy(self) -> None:
        if self.state in (State.READY, State.SLOW):
            self._change(State.BUSY, f"{self.model} is making a suggestion.")

    def _rest(self) -> None:
        """As it is when nothing is waited for."""
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
    """One line for a progress bar: Downloading x: 12 of 93 MB."""
    if not progress.total:
        return progress.activity
    scale, unit = {"bytes": (1e6, "MB"), "parameters": (1e6, "million parameters")}.get(
        progress.unit, (1, progress.unit)
    )
    return f"{progress.activity}: {progress.done / scale:.0f} of {progress.total / scale:.0f} {unit}"


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer:
        timer.cancel()
