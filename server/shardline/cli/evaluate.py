"""How good suggestions are: holes in real code filled the whole way from cursor to suggestion, variant by variant."""

import asyncio
import difflib
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from shardline.cli.holes import Hole, cut
from shardline.completion import context
from shardline.completion.completer import Completer
from shardline.engine import Engine, Request
from shardline.engine.local import LocalEngine
from shardline.errors import SettingsError
from shardline.settings import Settings

Fill = Callable[[Hole], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one variant made of one hole."""

    variant: str
    hole: Hole
    text: str
    seconds: float

    @property
    def exact(self) -> bool:
        """Whether the hole was filled as its author did, but for white space at the end."""
        return self.text.rstrip() == self.hole.expected.rstrip()

    @property
    def similarity(self) -> float:
        """Between 0 and 1: the share of letters that both have in the same order (Ratcliff and Obershelp)."""
        return difflib.SequenceMatcher(None, self.text.rstrip(), self.hole.expected.rstrip(), autojunk=False).ratio()

    @property
    def first_line(self) -> bool:
        """Whether the first line that says something is right."""
        said, wanted = (text.strip().partition("\n")[0].rstrip() for text in (self.text, self.hole.expected))
        return said == wanted


def evaluate(
    folder: Path, settings: Settings, *, holes: int, seed: int, variants: Sequence[str], json_file: Path | None
) -> None:
    """Cut `holes` into `folder`, fill them by each of `variants`, and print what came of it."""
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise SettingsError(f"--variants: there is no {unknown[0]}; there are {', '.join(VARIANTS)}.")
    if not folder.is_dir():
        raise SettingsError(f"{folder} is no folder.")
    cuts = cut(folder, holes, seed)
    if not cuts:
        raise SettingsError(f"{folder} has no source code to cut holes into.")
    results: list[Result] = []
    try:
        asyncio.run(_fill_all(cuts, settings, variants, results))
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped; these are the results so far.")
    report = _report(results, variants)
    Console().print(_table(report))
    if json_file is not None:
        head = {"folder": str(folder), "seed": seed, "model": settings.model.name}
        json_file.write_text(json.dumps({**head, "variants": report}, indent=2), encoding="utf-8")


async def _fill_all(holes: Sequence[Hole], settings: Settings, variants: Sequence[str], results: list[Result]) -> None:
    engine = LocalEngine(settings.model)
    try:
        await engine.load(lambda _: None)
        fills = {name: VARIANTS[name](engine, settings) for name in variants}
        bar = Progress(*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        with bar as progress:
            for hole in progress.track(holes, description="Filling holes"):
                for name, fill in fills.items():
                    began = time.perf_counter()
                    text = await fill(hole)
                    spent = time.perf_counter() - began
                    results.append(Result(variant=name, hole=hole, text=_comparable(hole, text), seconds=spent))
    finally:
        engine.close()


def _comparable(hole: Hole, text: str) -> str:
    """What fills a hole within a line is compared up to its first line feed, in every variant."""
    return text if "\n" in hole.expected else text.partition("\n")[0]


def _naive(engine: Engine, settings: Settings) -> Fill:
    """The article's way, made fair: the prefix in, the likeliest tokens out, cut where a line or block must end."""

    async def fill(hole: Hole) -> str:
        prefix, _ = context.window(hole.source)
        request = Request(
            document=hole.source.document,
            prefix=prefix,
            infilling="off",
            healing=False,
            max_tokens=settings.generation.max_tokens,
            stop=("\n\n",) if "\n" in hole.expected else ("\n",),
        )
        async with aclosing(engine.complete(request)) as stream:
            return "".join([chunk.text async for chunk in stream])

    return fill


def _suggested(*, healing: bool = True, trimming: bool = True) -> Callable[[Engine, Settings], Fill]:
    def variant(engine: Engine, settings: Settings) -> Fill:
        completer = Completer(engine, settings, healing=healing, trimming=trimming)

        async def fill(hole: Hole) -> str:
            return (await completer.suggest(hole.source)).text

        return fill

    return variant


VARIANTS: dict[str, Callable[[Engine, Settings], Fill]] = {
    "naive": _naive,
    "no-healing": _suggested(healing=False),
    "no-trim": _suggested(trimming=False),
    "full": _suggested(),
}


def _report(results: Sequence[Result], variants: Iterable[str]) -> dict[str, Any]:
    report = {}
    for name in variants:
        own = [result for result in results if result.variant == name]
        kinds = dict.fromkeys(result.hole.kind for result in own)
        by_kind = {kind: _figures([result for result in own if result.hole.kind == kind]) for kind in kinds}
        report[name] = {**_figures(own), "kinds": by_kind}
    return report


def _figures(results: Sequence[Result]) -> dict[str, Any]:
    if not results:
        return {"holes": 0, "exact_match": None, "edit_similarity": None, "first_line_match": None, "median_ms": None}
    return {
        "holes": len(results),
        "exact_match": statistics.mean(result.exact for result in results),
        "edit_similarity": statistics.mean(result.similarity for result in results),
        "first_line_match": statistics.mean(result.first_line for result in results),
        "median_ms": 1000 * statistics.median(result.seconds for result in results),
    }


def _table(report: dict[str, Any]) -> Table:
    """Exact matches of each kind of hole, and the other figures over all holes."""
    table = Table("Variant")
    kinds = list(next(iter(report.values()))["kinds"])
    for kind in (*kinds, "all holes", "similarity", "first line", "median ms"):
        table.add_column(kind, justify="right")
    for name, figures in report.items():
        exact = [figures["kinds"][kind] for kind in kinds] + [figures]
        row = [f"{round(cell['exact_match'] * cell['holes'])}/{cell['holes']}" for cell in exact if cell["holes"]]
        if figures["holes"]:
            row += [
                f"{figures['edit_similarity']:.2f}",
                f"{figures['first_line_match']:.0%}",
                f"{figures['median_ms']:.0f}",
            ]
        table.add_row(name, *row)
    return table
