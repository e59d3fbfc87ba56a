"""What a typing person notices of an engine that is killed, again and again: `python -m tests.shared.kill --json FILE`.

A file is typed in front of the real server, as `shardline replay` does, while its engine is killed (-9) behind keys
that are drawn by chance: while it is loaded, while it answers, and while nobody asks it. No request may stay without an
answer, and no suggestion may be untrue; exit code 1 where one does, or is.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
from bisect import bisect
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from shardline.cli import figures
from shardline.cli.record import Outcome, Record
from shardline.cli.replay import Script, type_file
from shardline.engine import control, registry
from shardline.engine.connection import Connection
from shardline.errors import AwayError
from shardline.settings import Settings

LOOK_SECONDS = 0.02
"""How often it is looked whether the key was pressed, and an engine is there."""

LATEST = 1.0
"""How many seconds a kill comes behind its key, at most."""

LAST_KEYS = 40
"""Behind these no engine is killed, so that there is a suggestion after the last kill too."""

NEVER = 120.0
"""Who has no answer after so many seconds never gets one: the server gives up sooner."""

DOINGS = ("loading", "answering", "idle")
REPLAYED = ("keystrokes", "requests", "answered", "superseded", "cancelled", "shown", "failed", "unanswered", "untrue")
FORBIDDEN = ("failed", "unanswered", "untrue")
"""What becomes of requests where a loss is not healed as it should."""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """When an engine was killed, in seconds of the loop, and what it was doing."""

    time: float
    doing: str


async def kill_behind(keys: Iterable[int], record: Record, chance: random.Random, kills: list[Kill]) -> None:
    """Kill the engine soon after each of these keys, or where there is none then, soon after there is one."""
    loop = asyncio.get_running_loop()
    for key in sorted(keys):
        while record.keystrokes < key or not running_engines():  # noqa: ASYNC110  as somebody who looks on
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(chance.uniform(0, LATEST))
        doing = await ask_doing()
        for engine in running_engines():
            engine.kill()
            kills.append(Kill(time=loop.time(), doing=doing))


def running_engines() -> list[psutil.Process]:
    """The processes of engines that live, whether they can be asked yet or not."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "engine-process" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            pass
    return found


async def ask_doing() -> str:
    """What the engine does: loading, answering or idle."""
    for entry in registry.all_entries():
        try:
            connection = await Connection.open(entry)
            told = await connection.ask("GET", "/engine/figures")
            connection.close()
        except AwayError:
            continue
        if told["status"] == "ok":
            return "answering" if told["running"] else "idle"
    return "loading"


async def measure(script: Script, kills: int) -> tuple[Record, list[Kill]]:
    """Type, and kill the engine so often meanwhile."""
    chance, record, killed = random.Random(script.seed), Record(), list[Kill]()  # noqa: S311  not a secret
    keys = chance.sample(range(1, script.keystrokes - LAST_KEYS), kills)
    text = script.file.read_text(encoding="utf-8")
    with Progress(transient=True) as progress:
        killing = asyncio.create_task(kill_behind(keys, record, chance, killed))
        await type_file(script, Settings(), text, record, progress)
    killing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await killing
    for entry in registry.all_entries():
        await control.end(entry)
    return record, killed


def report(record: Record, kills: list[Kill]) -> dict[str, Any]:
    """The figures as `--json` writes them."""
    counts, replayed = Counter(kill.doing for kill in kills), figures.report(record)
    return {
        "kills": len(kills),
        **{doing: counts[doing] for doing in DOINGS},
        **{name: replayed[name] for name in REPLAYED},
        "seconds_to_shown": seconds_to_shown(record, kills),
    }


def seconds_to_shown(record: Record, kills: list[Kill]) -> float | None:
    """From a kill to the next suggestion that is shown, the median of all kills; None where none was shown."""
    requests = [request for request in record.requests.values() if request.outcome is Outcome.SHOWN]
    shown = sorted(request.pressed + request.seconds for request in requests)
    waits = [shown[number] - kill.time for kill in kills if (number := bisect(shown, kill.time)) < len(shown)]
    return statistics.median(waits) if waits else None


def table(figures: dict[str, Any]) -> Table:
    shown = Table("What", "Measured", "Asked for")
    shown.add_row("kills", str(figures["kills"]))
    for doing in DOINGS:
        shown.add_row(f"of them while {doing}", str(figures[doing]), end_section=doing == DOINGS[-1])
    for name in REPLAYED:
        shown.add_row(name, str(figures[name]), "0" if name in FORBIDDEN else "")
    seconds = figures["seconds_to_shown"]
    shown.add_row("from a kill to the next shown, median", "-" if seconds is None else f"{seconds:.1f} s")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--file", type=Path, default=Path(json.decoder.__file__), help="what is typed")
    parser.add_argument("--client", default="neovim", help="who asks, as for shardline replay")
    parser.add_argument("--speed", type=float, default=5.0, help="characters per second")
    parser.add_argument("--kills", type=int, default=50, help="how often the engine is killed")
    parser.add_argument("--keystrokes", type=int, default=2200, help="how many keys are pressed")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    script = Script(
        file=arguments.file,
        keystrokes=arguments.keystrokes,
        seed=arguments.seed,
        client=arguments.client,
        speed=arguments.speed,
        answer_seconds=NEVER,
    )
    with tempfile.TemporaryDirectory() as runtime:  # engines of its own, which are not the user's
        os.environ["XDG_RUNTIME_DIR"] = runtime
        told = report(*asyncio.run(measure(script, arguments.kills)))
    Console().print(table(told))
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=2), encoding="utf-8")
    sys.exit(told["kills"] < arguments.kills or any(told[name] for name in FORBIDDEN))


if __name__ == "__main__":
    main()
