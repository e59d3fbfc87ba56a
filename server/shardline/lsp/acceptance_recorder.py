"""Statistics of shown and accepted suggestions, written every half minute."""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import PurePath
from typing import Any, Literal

from lsprotocol import types

from shardline.completion import Source, Suggestion
from shardline.completion.acceptance.tracker import AcceptanceTracker
from shardline.completion.markdown import one_line
from shardline.errors import StatisticsError
from shardline.settings import Settings
from shardline.statistics.counts import Counts, Key, Label

WRITE_SECONDS = 30.0
"""The time between two writes; accepted text that remains at least this long is kept."""

BUSY_SECONDS = 0.3
"""The longest wait for a file locked by another process; later counts go into the next write."""

END_SECONDS = 1.0
"""The longest wait for the last write when the server ends."""

_LANGUAGE = re.compile(r"[\w+#-]{1,40}")

log = logging.getLogger(__name__)


class Recorder:
    """Counts of suggestions, kept only while `statistics.enabled` is set.

    `add` receives the counts of the last `seconds` in a thread; it may block or raise `StatisticsError`.
    """

    def __init__(self, add: Callable[[Counts], None], seconds: float = WRITE_SECONDS) -> None:
        self._add = add
        self._seconds = seconds
        self._enabled = False
        self._model = ""
        self._tracker = AcceptanceTracker(self._count)
        self._counts = Counts()
        self._timer: asyncio.TimerHandle | None = None
        self._writer = ThreadPoolExecutor(1, "statistics")  # keys must not wait for a slow disk
        self._unwritten = Counts()  # counts of failed writes, used by the writer only

    def apply(self, settings: Settings) -> None:
        """Use these settings; if counting is off now, discard unwritten counts."""
        self._enabled = settings.statistics.enabled
        self._model = one_line(PurePath(settings.model_name).name)  # without its folder, which is private
        if not self._enabled:
            self._tracker = AcceptanceTracker(self._count)
            self._counts.clear()

    def show(
        self, source: Source, suggestions: Sequence[Suggestion], kind: Literal["ghost", "popup"], seconds: float
    ) -> int | None:
        """Count suggestions answered after `seconds`; return the number to accept them by, or None if off."""
        if not self._enabled or not suggestions:
            return None
        language = source.language if _LANGUAGE.fullmatch(source.language) else "other"
        number = self._tracker.show(source, suggestions, Label(language, self._model, kind), 1000 * seconds)
        self._schedule()
        return number

    def follow(self, uri: str, lines: Sequence[str], changes: Sequence[types.TextDocumentContentChangeEvent]) -> None:
        """Follow the document to its new lines after `changes`."""
        self._tracker.follow(uri, lines, max((len(change.text) for change in changes), default=0))
        self._schedule()

    def accept(self, arguments: Sequence[Any]) -> None:
        """Record the client's report of an acceptance; ignore foreign arguments."""
        match arguments:
            case [int(number), int(choice)]:
                self._tracker.accept(number, choice)
                self._schedule()

    def close_document(self, uri: str) -> None:
        """Settle a document that was closed."""
        self._tracker.close(uri)
        self._schedule()

    def close(self) -> None:
        """Write the counts and wait `END_SECONDS` for that; later they are lost."""
        if self._timer:
            self._timer.cancel()
        self._tracker.close_all()
        last = self._writer.submit(self._write_down, self._counts)
        self._writer.shutdown(wait=False)
        try:
            last.result(END_SECONDS)
        except TimeoutError:
            log.warning("The last statistics are not written: the disk takes too long.")

    def _count(self, label: Label, name: str, amount: int) -> None:
        self._counts[Key(date.today().isoformat(), *label, name)] += amount

    def _schedule(self) -> None:
        """Schedule the next write if there is anything to write or settle."""
        if self._timer is None and (self._counts or not self._tracker.is_settled):
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._tracker.settle()
        self._write()
        self._schedule()

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
            log.warning("The statistics are not written. %s", error)
        else:
            self._unwritten.clear()


def add_to_own_file(counts: Counts) -> None:
    """Add counts to this user's statistics; raises `StatisticsError`."""
    from shardline.statistics.store import Store, own_file  # lazy: the start of the server need not wait for it

    Store(own_file(), busy_seconds=BUSY_SECONDS).add(counts, date.today())
