"""The file of counts: several processes write it at once, and neither crashes nor rubbish end the counting."""

import logging
import sqlite3
import stat
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from shardline.errors import StatisticsError
from shardline.statistics.counts import Counts, Key
from shardline.statistics.store import MAX_DAYS, Store

TODAY = date(2026, 11, 24)
KEY = Key(TODAY.isoformat(), "python", "model", "ghost", "accepted")

ADDING = """
import sys
from datetime import date
from pathlib import Path
from shardline.statistics.counts import Counts, Key
from shardline.statistics.store import Store
store = Store(Path(sys.argv[1]))
sys.stdin.read()
for turn in range(40):
    store.add(Counts({Key("2026-11-24", "python", "model", "ghost", name): turn for name in ("accepted", "kept")}),
              date(2026, 11, 24))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "new folder" / "statistics.sqlite3")


def test_what_is_added_adds_up(store: Store) -> None:
    assert store.read() == {}
    assert not store.file.exists()
    store.add(Counts({KEY: 2}), TODAY)
    store.add(Counts({KEY: 3, KEY._replace(language="rust"): 1}), TODAY)
    assert store.read() == {KEY: 5, KEY._replace(language="rust"): 1}


def test_only_its_user_can_read_it(store: Store) -> None:
    store.add(Counts({KEY: 1}), TODAY)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (store.file, store.file.parent)] == [0o600, 0o700]


@pytest.mark.parametrize("begins", ["new", "broken"])
def test_processes_that_write_at_once_lose_nothing(store: Store, begins: str) -> None:
    if begins == "broken":
        store.file.parent.mkdir()
        store.file.write_bytes(b"rubbish" * 1000)
    command = [sys.executable, "-c", ADDING, str(store.file)]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()  # that lets all begin
    for writer in writers:
        assert writer.wait(60) == 0
        assert writer.stderr is not None
        writer.stderr.close()
    assert store.read() == {KEY: 4 * sum(range(40)), KEY._replace(name="kept"): 4 * sum(range(40))}


@pytest.mark.parametrize("rubbish", ["no database at all" * 99, ""])
def test_a_broken_file_is_set_aside_with_a_warning(
    store: Store, rubbish: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.add(Counts({KEY: 1}), TODAY)
    content = bytearray(store.file.read_bytes())
    content[100:1500] = b"\xff" * 1400  # the table of tables
    store.file.write_bytes(rubbish.encode() or content)
    broken = store.file.read_bytes()
    with caplog.at_level(logging.WARNING):
        store.add(Counts({KEY: 7}), TODAY)
    assert store.read() == {KEY: 7}
    assert store.file.with_suffix(".broken").read_bytes() == broken
    (record,) = caplog.records
    assert str(store.file) in record.message


def test_a_file_that_was_cut_off_while_it_was_made_is_begun_anew(store: Store) -> None:
    store.file.parent.mkdir()
    store.file.touch()
    store.add(Counts({KEY: 7}), TODAY)
    assert store.read() == {KEY: 7}


def test_a_crash_while_writing_leaves_what_was_there(store: Store) -> None:
    store.add(Counts({KEY: 1}), TODAY)
    crash = (
        "import os, sqlite3, sys; database = sqlite3.connect(sys.argv[1]);"
        "database.execute('PRAGMA cache_size = 1');"  # so that pages are written before all is done
        "database.executemany('INSERT INTO counts VALUES (?, 1, 1, 1, 1, 1)', [(n,) for n in range(9999)]);"
        "os._exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", crash, str(store.file)], check=False).returncode == 1
    assert store.file.with_name(f"{store.file.name}-journal").exists()
    store.add(Counts({KEY: 1}), TODAY)
    assert store.read() == {KEY: 2}


def test_days_older_than_a_year_are_forgotten(store: Store) -> None:
    for age in (0, MAX_DAYS - 1, MAX_DAYS):
        store.add(Counts({KEY._replace(day=(TODAY - timedelta(days=age)).isoformat()): 1}), TODAY)
    assert len(store.read()) == 2


def test_what_is_forgotten_is_in_no_file(store: Store) -> None:
    store.add(Counts({KEY._replace(model=f"forgettable {number}"): 1 for number in range(999)}), TODAY)
    store.file.with_suffix(".broken").write_bytes(b"forgettable")
    before = store.file.read_bytes()
    assert b"forgettable" in before
    store.forget()
    assert len(store.file.read_bytes()) < len(before)
    assert store.read() == {}
    for file in store.file.parent.iterdir():
        assert b"forgettable" not in file.read_bytes()


def test_a_file_that_cannot_be_used_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StatisticsError, match="cannot be used: "):
        Store(tmp_path / "file" / "statistics.sqlite3").add(Counts({KEY: 1}), TODAY)


def test_a_file_that_others_keep_locked_is_an_error_and_stays(store: Store) -> None:
    store.add(Counts({KEY: 1}), TODAY)
    other = sqlite3.connect(store.file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StatisticsError, match="locked"):
        Store(store.file, busy_seconds=0).add(Counts({KEY: 1}), TODAY)
    other.close()
    assert store.read() == {KEY: 1}


def test_a_broken_file_that_another_process_renews_for_ever_is_an_error(store: Store) -> None:
    store.file.parent.mkdir()
    store.file.write_bytes(b"rubbish" * 999)
    with FileLock(store.file.with_suffix(".lock")), pytest.raises(StatisticsError, match="lock"):
        Store(store.file, busy_seconds=0).add(Counts({KEY: 1}), TODAY)
