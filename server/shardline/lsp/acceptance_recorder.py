"""Counts what the client shows and accepts, and has it written down half a minute later."""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import PurePath
from typing import Any

from lsprotocol import types

from shardline.completion import Source, Suggestion
from shardline.completion.acceptance.tracker import AcceptanceTracker
from shardline.completion.markdown import one_line
from shardline.errors import StatisticsError
from shardline.settings import Settings
from shardline.statistics.counts import Counts, Key, Label

SECONDS = 30.0
"""How long counts are gathered; and for how long at least an accepted text has to remain to be kept."""

BUSY_SECONDS = 0.3
"""How long another process may keep the file locked until what was counted has to wait for the next time."""

END_SECONDS = 1.0
"""How long the end of the server waits for the file."""

_LANGUAGE = re.compile(r"[\w+#-]{1,40}")

log = logging.getLogger(__name__)


class Recorder:
    """Counts suggestions while `statistics.enabled` is set, and else does nothing and gives no numbers.

    `add`, which may take its time or raise `StatisticsError`, is given what was counted in the last `seconds`.
    """

    def __init__(self, add: Callable[[Counts], None], seconds: float = SECONDS) -> None:
        self._add = add
        self._seconds = seconds
        self._enabled = False
        self._model = ""
        self._tracker = AcceptanceTracker(self._count)
        self._counts = Counts()
        self._timer: asyncio.TimerHandle | None = None
        self._writer = ThreadPoolExecutor(1, "statistics")  # a disk may be slow, and no key waits for it
        self._unwritten = Counts()  # the writer's own: what could not be written when it was to be

    def apply(self, settings: Settings) -> None:
        """Use these settings; where counting is off now, what is not written yet is forgotten."""
        self._enabled = settings.statistics.enabled
        self._model = one_line(PurePath(settings.model_name).name)  # without its folder, which is nobody's business
        if not self._enabled:
            self._tracker = AcceptanceTracker(self._count)
            self._counts.clear()

    def show(self, source: Source, suggestions: Sequence[Suggestion], kind: str, seconds: float) -> int | None:
        """Suggestions were answered after so long; returns the number to accept them by, None where nothing is counted.

        `kind` is "ghost" or "popup".
        """
        if not self._enabled or not suggestions:
            return None
        language = source.language if _LANGUAGE.fullmatch(source.language) else "other"
        number = self._tracker.show(source, suggestions, Label(language, self._model, kind), 1000 * seconds)
        self._wake()
        return number

    def follow(self, uri: str, lines: Sequence[str], changes: Sequence[types.TextDocumentContentChangeEvent]) -> None:
        """The document has these lines now, after these changes."""
        self._tracker.follow(uri, lines, max((len(change.text) for change in changes), default=0))
        self._wake()

    def accept(self, arguments: Sequence[Any]) -> None:
        """A client says that something was accepted; what is not ours is ignored."""
        match arguments:
            case [int(number), int(choice)]:
                self._tracker.accept(number, choice)
                self._wake()

    def close_document(self, uri: str) -> None:
        """The document was closed."""
        self._tracker.close(uri)
        self._wake()

    def close(self) -> None:
        """Write down what was counted, and wait a moment for that; what cannot be written then is lost."""
        if self._timer:
            self._timer.cancel()
        self._tracker.close_all()
        last = self._writer.submit(self._write_down, self._counts)
        self._writer.shutdown(wait=False)
        try:
            last.result(END_SECONDS)
        except TimeoutError:
            log.warning("What was counted last is not written: the disk takes too long.")

    def _count(self, label: Label, name: str, amount: int) -> None:
        self._counts[Key(date.today().isoformat(), *label, name)] += amount

    def _wake(self) -> None:
        """Where there is something to do, do it in a while."""
        if self._timer is None and (self._counts or not self._tracker.is_settled):
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._tracker.settle()
        self._write()
        self._wake()

    def _write(self) -> None:
        if self._counts:
            counts, self._counts = self._counts, Counts()
            self._writer.submit(self._write_down, counts)

    def _write_down(self, counts: Counts) -> None:
        self._unwritten.update(counts)
        try:
            if self._unwritten:
                self._add(self._unwritten)
        except StatisticsError as error:
            log.warning("What was counted is not written. %s", error)
        else:
            self._unwritten.clear()


def add_to_own_file(counts: Counts) -> None:
    """Add to the statistics of this user; raises `StatisticsError`."""
    from shardline.statistics.store import Store, own_file  # here, because starting need not wait for it

    Store(own_file(), busy_seconds=BUSY_SECONDS).add(counts, date.today())
