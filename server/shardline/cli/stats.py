"""Counts of suggestions as a table, as JSON and as a picture."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from rich.table import Table

from shardline.console import Console
from shardline.measure import plot
from shardline.measure.output import Files
from shardline.statistics.counts import Counts, Figures, Key, figures, grouped
from shardline.statistics.store import Store

RECENT_DAYS = 14
"""Days that have a row each; earlier ones are summed by week."""


def stats(store: Store, *, days: int, today: date, files: Files) -> None:
    """Tell the figures of the last `days` days, today among them; raises `StatisticsError`."""
    console = Console()
    first = today - timedelta(days=days - 1)
    counts = Counts({key: amount for key, amount in store.read().items() if key.day >= first.isoformat()})
    if counts:
        console.print(_table(counts, today))
    else:
        print(f"No suggestion was counted in the last {days} days; statistics.enabled has to be set for that.")  # noqa: T201
    print(f"The counts are in {store.file}")  # noqa: T201
    by_day = grouped(counts, lambda key: key.day)
    if files.json is not None:
        report = {
            "file": str(store.file),
            "first_day": first.isoformat(),
            "last_day": today.isoformat(),
            "all": _as_json(figures(counts.items())),
            "days": {day: _as_json(one) for day, one in by_day.items()},
            **{f"{name}s": {of: _as_json(one) for of, one in groups.items()} for name, groups in _labels(counts)},
        }
        files.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    if files.plot is not None and counts:
        every_day = [first + timedelta(days=number) for number in range(days)]
        shown = [by_day.get(day.isoformat(), figures([])) for day in every_day]
        plot.suggestions(
            files.plot,
            title=f"Suggestions of the last {days} days",
            days=every_day,
            counts={"shown": [one.shown for one in shown], "accepted": [one.accepted for one in shown]},
            latencies={f"p{percent}": [one.latency(percent) for one in shown] for percent in (95, 50)},
        )


def forget(store: Store) -> None:
    """Remove all that was counted; raises `StatisticsError`."""
    store.forget()
    print(f"Everything that was counted in {store.file} is forgotten.")  # noqa: T201


def _table(counts: Counts, today: date) -> Table:
    table = Table(caption="Characters of accepted text, and the share that was kept; milliseconds until it was shown")
    table.add_column(overflow="fold")
    for column in ("shown", "accepted", "share", "characters", "kept", "p50", "p95"):
        table.add_column(column, justify="right", no_wrap=True)
    _add_rows(table, grouped(counts, _period(today)))
    _add_rows(table, {"all": figures(counts.items())})
    for name, groups in _labels(counts):
        if len(groups) > 1 or name == "language":
            _add_rows(table, groups)
    return table


def _add_rows(table: Table, groups: dict[str, Figures]) -> None:
    for name, one in groups.items():
        table.add_row(
            name,
            f"{one.shown:,}",
            f"{one.accepted:,}",
            _share(one.accepted_share),
            f"{one.characters:,}",
            _share(one.kept_share),
            *(_milliseconds(one.latency(percent)) for percent in (50, 95)),
        )
    table.add_section()


def _labels(counts: Counts) -> list[tuple[str, dict[str, Figures]]]:
    return [
        ("language", grouped(counts, lambda key: key.language)),
        ("model", grouped(counts, lambda key: key.model)),
        ("kind", grouped(counts, lambda key: key.kind)),
    ]


def _period(today: date) -> Callable[[Key], str]:
    """Return the name of a count's row; the names sort by time."""

    def period(key: Key) -> str:
        day = date.fromisoformat(key.day)
        if (today - day).days < RECENT_DAYS:
            return key.day
        return f"{day - timedelta(days=day.weekday())} week"

    return period


def _as_json(one: Figures) -> dict[str, Any]:
    return {
        "shown": one.shown,
        "accepted": one.accepted,
        "accepted_share": one.accepted_share,
        "characters_accepted": one.characters,
        "characters_kept": one.kept,
        "kept_share": one.kept_share,
        "latency_ms": {"p50": one.latency(50), "p95": one.latency(95)},
    }


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _milliseconds(latency: float | None) -> str:
    return "" if latency is None else f"{latency:.0f}"
