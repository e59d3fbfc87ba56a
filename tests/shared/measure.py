"""Costs and savings of a shared engine, with the embedded model: `python -m tests.shared.measure --json FILE`.

How much longer a suggestion takes than with the engine in the language server, asked for in turns; how long it takes
from the start of a second window to its first suggestion; and the memory of its language server.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from shardline.engine.shared import control, registry
from shardline.lsp.client.editor import Editor

COMMAND = [sys.executable, "-m", "shardline"]
URI = "file:///measured/a.py"
CODE = "import math\n\n\ndef area_{number}(radius: float) -> float:\n    return"
LINE, COLUMN = 4, len("    return")
MB = 1e6

ADDED_MS, SECOND_SECONDS, MEMORY_MB = 3.0, 1.5, 130.0
"""What is asked for: milliseconds added (50 %), seconds to a second window's first suggestion, and its memory."""

PAUSE_SECONDS = 0.1
"""After an answer, so that the engine has ended its last step before another is asked beside it."""


def options_for(mode: str) -> dict[str, Any]:
    """Whole suggestions, each made when it is asked for, and nothing else."""
    return {
        "engine": {"mode": mode},
        "generation": {"maxTokens": 16},
        "completion": {"debounce": 0, "timeBudget": 60_000, "prepare": False, "warm": False},
        "statistics": {"enabled": False},
    }


async def opened(stack: AsyncExitStack, mode: str) -> Editor:
    editor = await stack.enter_async_context(Editor(COMMAND))
    await editor.initialize(options_for(mode))
    await editor.ready()
    return editor


async def ask(editor: Editor, number: int) -> float:
    """Seconds until a suggestion came in a document that was never seen."""
    uri = f"{URI}{number}"
    editor.open(uri, "python", CODE.format(number=number))
    began = time.perf_counter()
    answer = await editor.ghost(uri, LINE, COLUMN)
    spent = time.perf_counter() - began
    assert answer
    editor.close(uri)
    await asyncio.sleep(PAUSE_SECONDS)
    return spent


async def latencies(repeats: int) -> dict[str, list[float]]:
    """Milliseconds of suggestions in each mode, asked for in turns."""
    times: dict[str, list[float]] = {"inprocess": [], "shared": []}
    async with AsyncExitStack() as stack:
        editors = {mode: await opened(stack, mode) for mode in times}
        for number in range(repeats + 3):
            for mode in times if number % 2 else reversed(times):
                spent = await ask(editors[mode], number)
                if number >= 3:  # before, all is done for the first time
                    times[mode].append(spent * 1e3)
    return times


async def second_windows(repeats: int) -> list[dict[str, float]]:
    """Seconds from the start of a second window to its first suggestion, and what its language server takes then."""
    rows = []
    async with AsyncExitStack() as first:
        await opened(first, "shared")
        before = set(psutil.Process().children())
        for number in range(repeats):
            async with AsyncExitStack() as second:
                began = time.perf_counter()
                editor = await opened(second, "shared")
                await ask(editor, number)
                spent = time.perf_counter() - began
                (server,) = set(psutil.Process().children()) - before
                memory = server.memory_full_info()
                rows.append({"seconds": spent, "rss_mb": memory.rss / MB, "uss_mb": memory.uss / MB})
    return rows


async def measure(repeats: int, starts: int) -> dict[str, Any]:
    """All figures."""
    try:
        rounds = []
        for _ in range(starts):
            rounds.append(await latencies(repeats))
            await end_all()
        windows = await second_windows(max(3, repeats // 10))
    finally:
        await end_all()
    return {"milliseconds": rounds, "second_windows": windows}


async def end_all() -> None:
    """End all engines that run."""
    for entry in registry.all_entries():
        await control.end(entry)


def table(figures: dict[str, Any]) -> Table:
    shown = Table("What", "Measured", "Asked for")
    rounds = figures["milliseconds"]
    for mode in rounds[0]:
        middle = statistics.median(time for times in rounds for time in times[mode])
        shown.add_row(f"one suggestion, {mode}, p50", f"{middle:.1f} ms", "")
    added = [
        [shared - own for own, shared in zip(times["inprocess"], times["shared"], strict=True)] for times in rounds
    ]
    low, middle, high = statistics.quantiles([one for round_ in added for one in round_], n=4)
    each = ", ".join(f"{statistics.median(round_):.1f}" for round_ in added)
    shown.add_row("added by sharing, p50 of pairs", f"{middle:.1f} ms", f"<= {ADDED_MS} ms")
    shown.add_row("  p25 to p75", f"{low:.1f} to {high:.1f} ms", "")
    shown.add_row("  p50 of each start", f"{each} ms", "")
    windows = figures["second_windows"]
    slowest, rss, uss = (max(window[name] for window in windows) for name in ("seconds", "rss_mb", "uss_mb"))
    shown.add_row("second window to first suggestion, slowest", f"{slowest:.2f} s", f"<= {SECOND_SECONDS} s")
    shown.add_row("memory of its language server, RSS", f"{rss:.0f} MB", f"<= {MEMORY_MB:.0f} MB")
    shown.add_row("memory of its language server, its own", f"{uss:.0f} MB", "")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--repeats", type=int, default=12, help="how many suggestions of each kind, after each start")
    parser.add_argument("--starts", type=int, default=20, help="how often they start anew: none is as fast as another")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as runtime:  # engines of its own, which are not the user's
        os.environ["XDG_RUNTIME_DIR"] = runtime
        figures = asyncio.run(measure(arguments.repeats, arguments.starts))
    Console().print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
