"""File of the counts, which several servers may write at once.

It is an SQLite database, because that is what makes adding to a file safe: of two servers none overwrites what the
other counted, and a crash leaves what was there before. It has SQLite's rollback journal and not a write-ahead log,
which would not work in home folders on a network and gains nothing for a write every half minute. As it holds sums, it
grows with days and languages and not with use.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

from platformdirs import user_data_path

from shardline.errors import StatisticsError
from shardline.statistics.counts import Counts, Key

MAX_DAYS = 366
"""Older days are forgotten."""

_TABLE = (
    "CREATE TABLE IF NOT EXISTS counts (day TEXT, language TEXT, model TEXT, kind TEXT, name TEXT, amount INTEGER, "
    "PRIMARY KEY (day, language, model, kind, name)) WITHOUT ROWID"
)
_ADD = (
    "INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (day, language, model, kind, name) DO UPDATE SET amount = amount + excluded.amount"
)
_FORGET = "DELETE FROM counts WHERE day < ?"

_Result = TypeVar("_Result")

log = logging.getLogger(__name__)


def own_file() -> Path:
    """Return the path of this user's statistics."""
    return user_data_path("shardline", appauthor=False) / "statistics.sqlite3"


class Store:
    """The counts in `file`, which only its user may read; each method opens and closes it.

    While another process writes or renews it, each waits for `busy_seconds`.
    """

    def __init__(self, file: Path, *, busy_seconds: float = 5.0) -> None:
        self.file = file
        self._busy_seconds = busy_seconds

    def add(self, counts: Counts, today: date) -> None:
        """Add to what is there already; raises `StatisticsError`, and then nothing was added."""
        first = today - timedelta(days=MAX_DAYS - 1)

        def write(database: sqlite3.Connection) -> None:
            with database:
                database.executemany(_ADD, [(*key, amount) for key, amount in counts.items()])
                database.execute(_FORGET, (first.isoformat(),))

        self._use(write)

    def read(self) -> Counts:
        """All there is; raises `StatisticsError`."""
        if not self.file.exists():
            return Counts()
        rows = self._use(lambda database: database.execute("SELECT * FROM counts").fetchall())
        return Counts({Key(*key): amount for *key, amount in rows})

    def forget(self) -> None:
        """Remove all there is, and what was set aside; raises `StatisticsError`."""

        def clear(database: sqlite3.Connection) -> None:
            with database:
                database.execute("DELETE FROM counts")
            database.execute("VACUUM")  # only then it is gone from the file too
            self._broken.unlink(missing_ok=True)

        if self.file.exists():
            self._use(clear)

    @property
    def _broken(self) -> Path:
        return self.file.with_suffix(".broken")

    def _use(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Do `work`; where the file is broken it is set aside, and a new one begun."""
        try:
            try:
                return self._open(work)
            except sqlite3.DatabaseError as error:
                if not _is_broken(error):
                    raise
            return self._renew(work)
        except (OSError, sqlite3.Error) as error:
            raise StatisticsError(f"The statistics in {self.file} cannot be used: {error}.") from error

    def _open(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # SQLite itself would let others read it
            os.close(os.open(self.file, os.O_CREAT | os.O_EXCL, 0o600))
        # Writers that begin as such wait for each other; as readers they could not.
        with closing(sqlite3.connect(self.file, self._busy_seconds, isolation_level="IMMEDIATE")) as database:
            database.execute(_TABLE)
            return work(database)

    def _renew(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        from filelock import FileLock  # lazy: hardly ever needed

        with FileLock(self.file.with_suffix(".lock"), timeout=self._busy_seconds):
            try:
                return self._open(work)  # another process may have renewed it
            except sqlite3.DatabaseError as error:
                if not _is_broken(error):
                    raise
                log.warning("The statistics in %s were broken (%s) and begin anew.", self.file, error)
            self.file.replace(self._broken)
            self.file.with_name(f"{self.file.name}-journal").unlink(missing_ok=True)
            return self._open(work)


def _is_broken(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)  # an extended one, whose last byte says enough
    return code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
