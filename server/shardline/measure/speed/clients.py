"""Gain in tokens per second with several clients of one engine."""

import json

from rich.table import Table

from shardline.console import Console
from shardline.measure.output import Files
from shardline.measure.speed.bench import apart, spread
from shardline.settings import ModelSettings, Settings


def bench_clients(settings: Settings, *, clients: int, repeats: int, files: Files) -> None:
    """Measure one client and so many at once, in one process and in turn; print the figures."""
    device, rounds = apart(_measure, settings.model, clients, repeats)
    figures = {
        "one client": spread([one for one, _ in rounds]),
        f"{clients} at once": spread([together for _, together in rounds]),
        "ratio": spread([together / one for one, together in rounds]),
    }
    table = Table("", "median", "spread", title="Tokens per second, in total")
    for name, values in figures.items():
        digits = 2 if name == "ratio" else 0
        table.add_row(name, f"{values['median']:.{digits}f}", f"{values['min']:.{digits}f}–{values['max']:.{digits}f}")
    console = Console()
    console.print(f"{settings.model.name} on {device}")
    console.print(table)
    if files.json is not None:
        report = {"device": device, "model": settings.model.name, "clients": clients, "figures": figures}
        files.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


def _measure(model: ModelSettings, clients: int, repeats: int) -> tuple[str, list[tuple[float, float]]]:
    from shardline.measure.speed import concurrency, subject

    return subject.device_name(), concurrency.tokens_per_second(model, clients, repeats)
