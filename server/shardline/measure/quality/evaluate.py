"""Quality of suggestions: holes in real code, filled variant by variant."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from shardline.completion.code import excerpt
from shardline.completion.completer import Completer
from shardline.console import Console, progress_bar
from shardline.engine import Engine, Request
from shardline.engine.factory import open_engine
from shardline.errors import SettingsError
from shardline.measure.output import Files
from shardline.measure.quality import scores
from shardline.measure.quality.holes import Hole, cut
from shardline.measure.quality.scores import Result
from shardline.settings import Settings

Fill = Callable[[Hole], Awaitable[str]]


def evaluate(folder: Path, settings: Settings, *, holes: int, seed: int, variants: Sequence[str], files: Files) -> None:
    """Cut `holes` into `folder`, fill them by each of `variants`, and print the scores."""
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
    report = scores.report(results, variants)
    Console().print(scores.table(report))
    if files.json is not None:
        head = {"folder": str(folder), "seed": seed, "model": settings.model_name}
        files.json.write_text(json.dumps({**head, "variants": report}, indent=2), encoding="utf-8")
    if files.plot is not None and results:
        scores.draw(report, files.plot, title=f"Holes filled exactly: {settings.model_name}, {len(cuts)} holes")


async def _fill_all(holes: Sequence[Hole], settings: Settings, variants: Sequence[str], results: list[Result]) -> None:
    engine = open_engine(settings)
    try:
        await engine.load(lambda _: None)
        fills = {name: VARIANTS[name](engine, settings) for name in variants}
        with progress_bar() as progress:
            names = list(fills)
            for hole in progress.track(holes, description="Filling holes"):
                names.append(names.pop(0))  # the first one reads the prompt for all, so each is first in turn
                for name in names:
                    began = time.perf_counter()
                    text = await fills[name](hole)
                    spent = time.perf_counter() - began
                    results.append(Result(variant=name, hole=hole, text=_comparable(hole, text), seconds=spent))
    finally:
        engine.close()
        await engine.wait_closed()  # a process must not end while torch computes in it


def _comparable(hole: Hole, text: str) -> str:
    """Cut the text that fills a hole within a line at its first line feed, in every variant."""
    return text if "\n" in hole.expected else text.partition("\n")[0]


def _naive(engine: Engine, settings: Settings) -> Fill:
    """Fill as the article does, made fair: prefix in, likeliest tokens out, cut where a line or block must end."""

    async def fill(hole: Hole) -> str:
        prefix, _ = excerpt.window(hole.source)
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
