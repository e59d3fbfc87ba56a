"""`shardline stats`: the table adds up, JSON and picture say the same, and what is to be forgotten is forgotten."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from shardline.cli.stats import stats
from shardline.measure.output import Files
from shardline.statistics.counts import ACCEPTED, CHARACTERS, KEPT, Counts, Key, Label, shown_after
from shardline.statistics.store import Store, own_file
from tests.cli.commands import output

TODAY = date(2026, 11, 24)
PYTHON, RUST = Label("python", "some-model", "ghost"), Label("rust", "some-model", "popup")


@pytest.fixture
def counted(own_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("COLUMNS", "100")
    counts: Counts = Counts()
    for age, label in ((0, PYTHON), (1, RUST), (20, PYTHON), (40, PYTHON)):
        day = (TODAY - timedelta(days=age)).isoformat()
        for name, amount in ((shown_after(100), 10), (ACCEPTED, 4), (CHARACTERS, 80), (KEPT, 60)):
            counts[Key(day, *label, name)] += amount
    own_store.add(counts, TODAY)
    return own_store


def told(store: Store, folder: Path, capsys: pytest.CaptureFixture[str], days: int = 28) -> tuple[list[str], Any]:
    """Return the rows of the table, without their lines, and the JSON."""
    files = Files(json=folder / "figures.json", plot=folder / "figures.png")
    stats(store, days=days, today=TODAY, files=files)
    return [line.strip("│ \n") for line in capsys.readouterr().out.splitlines()], json.loads(
        (folder / "figures.json").read_text()
    )


def test_days_weeks_languages_and_kinds_have_a_row_each(
    counted: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, _ = told(counted, tmp_path, capsys)
    cells = [[cell.strip() for cell in row.split("│")] for row in rows if "│" in row]
    names = ["2026-11-02 week", "2026-11-23", "2026-11-24", "all", "python", "rust", "ghost", "popup"]
    assert [row[0] for row in cells] == names
    assert cells[3] == ["all", "30", "12", "40%", "240", "75%", "108", "108"]
    assert rows[-1] == f"The counts are in {counted.file}"


def test_json_and_picture_are_of_the_days_that_were_wished(
    counted: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, report = told(counted, tmp_path, capsys, days=2)
    assert list(report["days"]) == ["2026-11-23", "2026-11-24"]
    assert report["all"]["shown"] == sum(one["shown"] for one in report["languages"].values()) == 20
    assert set(report["all"]) == {
        "shown",
        "accepted",
        "accepted_share",
        "characters_accepted",
        "characters_kept",
        "kept_share",
        "latency_ms",
    }
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")
    _, report = told(counted, tmp_path, capsys, days=366)
    assert report["all"]["shown"] == 40


def test_where_nothing_was_counted_it_says_so_and_where_it_would_be(own_store: Store) -> None:
    said = output("stats", "--days", "3")
    assert said == (
        "No suggestion was counted in the last 3 days; statistics.enabled has to be set for that.\n"
        f"The counts are in {own_store.file}\n"
    )
    assert not own_store.file.exists()


def test_what_is_forgotten_is_gone(counted: Store) -> None:
    assert str(own_file()) in output("stats", "--forget")
    assert counted.read() == {}
    assert "No suggestion was counted" in output("stats")
