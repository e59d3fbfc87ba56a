"""Typing while the engine is killed or hangs: `python -m tests.shared.kill --json FILE`.

A file is typed in front of the real server, as `shardline replay` does, while its engine is killed (-9) or stopped
(SIGSTOP) behind keys that are drawn by chance: while it is loaded, while it answers, and while nobody asks it. No
request may stay without an answer, no suggestion may be untrue, and no process may be left; exit code 1 otherwise.
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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from shardline.engine.shared import control, registry
from shardline.engine.shared.h11_client import Connection
from shardline.errors import AwayError
from shardline.measure.typing import summary
from shardline.measure.typing.outcomes import Outcome, Record
from shardline.measure.typing.replay import Script, type_file
from shardline.settings import Settings

LOOK_SECONDS = 0.02
"""How often it is looked whether the key was pressed, and an engine is there."""

LATEST = 1.0
"""How many seconds a kill comes behind its key, at most."""

LAST_KEYS = 40
"""Behind these no engine is killed, so that there is a suggestion after the last kill too."""

KEYS_PER_KILL, KEYS_PER_HANG = 44, 220
"""So many keys are pressed for each, so that the engine is there again before the next: a hang is noticed late."""

NEVER = 120.0
"""Who has no answer after so many seconds never gets one: the server gives up sooner."""

END_SECONDS = 5.0
"""How long a process may take to be gone that has ended."""

DOINGS = ("loading", "answering", "idle")
REPLAYED = ("keystrokes", "requests", "answered", "superseded", "cancelled", "shown", "failed", "unanswered", "untrue")
FORBIDDEN = ("failed", "unanswered", "untrue", "processes_left")
"""What is there where a loss is not healed as it should."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """When an engine was killed or stopped, in seconds of the loop, and what it was doing."""

    time: float
    hangs: bool
    doing: str


async def harm_behind(keys: Mapping[int, bool], record: Record, chance: random.Random, faults: list[Fault]) -> None:
    """Harm the engine soon after each of these keys, or where there is none then, soon after there is one.

    Where the key's value is true it is stopped, else killed.
    """
    loop = asyncio.get_running_loop()
    for key, hangs in sorted(keys.items()):
        while record.keystrokes < key or not running_engines():  # noqa: ASYNC110  as somebody who looks on
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(chance.uniform(0, LATEST))
        doing = await ask_doing()
        for engine in running_engines():
            with contextlib.suppress(psutil.NoSuchProcess):
                engine.suspend() if hangs else engine.kill()
                faults.append(Fault(time=loop.time(), hangs=hangs, doing=doing))


def running_engines() -> list[psutil.Process]:
    """Return the processes of engines that live and do not hang, whether they can be asked yet or not."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            dead = (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
            if "engine-process" in child.cmdline() and child.status() not in dead:
                found.append(child)
        except psutil.NoSuchProcess:
            pass
    return found


def processes_left(runtime: str) -> int:
    """Count the processes that still use this runtime folder, besides this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("XDG_RUNTIME_DIR") == runtime and process.pid != os.getpid():
                found.append(process)
    return len([one for one in psutil.wait_procs(found, END_SECONDS)[1] if "shardline" in one.cmdline()])


async def ask_doing() -> str:
    """Return what the engine does: loading, answering or idle."""
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


async def measure(script: Script, kills: int, hangs: int) -> tuple[Record, list[Fault]]:
    """Type, and kill and stop the engine so often meanwhile."""
    chance, record, faults = random.Random(script.seed), Record(), list[Fault]()  # noqa: S311  not a secret
    keys = chance.sample(range(1, script.keystrokes - LAST_KEYS), kills + hangs)
    text = script.file.read_text(encoding="utf-8")
    with Progress(transient=True) as progress:
        harming = asyncio.create_task(
            harm_behind({key: number < hangs for number, key in enumerate(keys)}, record, chance, faults)
        )
        await type_file(script, Settings(), text, record, progress)
    harming.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await harming
    for entry in registry.all_entries():
        await control.end(entry)
    return record, faults


def report(record: Record, faults: list[Fault], left: int) -> dict[str, Any]:
    """Return the figures as `--json` writes them."""
    counts, replayed = Counter(fault.doing for fault in faults), summary.report(record)
    kills, hangs = ([fault for fault in faults if fault.hangs is kind] for kind in (False, True))
    return {
        "kills": len(kills),
        "hangs": len(hangs),
        **{doing: counts[doing] for doing in DOINGS},
        **{name: replayed[name] for name in REPLAYED},
        "processes_left": left,
        "seconds_to_shown": seconds_to_shown(record, kills),
        "seconds_to_shown_after_hang": seconds_to_shown(record, hangs),
    }


def seconds_to_shown(record: Record, faults: list[Fault]) -> float | None:
    """From a fault to the next suggestion that is shown, the median of all; None where none was shown."""
    requests = [request for request in record.requests.values() if request.outcome is Outcome.SHOWN]
    shown = sorted(request.pressed + request.seconds for request in requests)
    waits = [shown[number] - fault.time for fault in faults if (number := bisect(shown, fault.time)) < len(shown)]
    return statistics.median(waits) if waits else None


def table(figures: dict[str, Any]) -> Table:
    shown = Table("What", "Measured", "Asked for")
    shown.add_row("kills", str(figures["kills"]))
    shown.add_row("hangs", str(figures["hangs"]))
    for doing in DOINGS:
        shown.add_row(f"of them while {doing}", str(figures[doing]), end_section=doing == DOINGS[-1])
    for name in (*REPLAYED, "processes_left"):
        shown.add_row(name.replace("_", " "), str(figures[name]), "0" if name in FORBIDDEN else "")
    for what, name in (("a kill", "seconds_to_shown"), ("a hang", "seconds_to_shown_after_hang")):
        seconds = figures[name]
        shown.add_row(f"from {what} to the next shown, median", "-" if seconds is None else f"{seconds:.1f} s")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--file", type=Path, default=Path(json.decoder.__file__), help="what is typed")
    parser.add_argument("--client", default="neovim", help="who asks, as for shardline replay")
    parser.add_argument("--speed", type=float, default=5.0, help="characters per second")
    parser.add_argument("--kills", type=int, default=50, help="how often the engine is killed")
    parser.add_argument("--hangs", type=int, default=10, help="how often it is stopped")
    parser.add_argument("--keystrokes", type=int, help="how many keys are pressed; as many as the faults need")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    script = Script(
        file=arguments.file,
        keystrokes=arguments.keystrokes
        or KEYS_PER_KILL * arguments.kills + KEYS_PER_HANG * arguments.hangs + LAST_KEYS,
        seed=arguments.seed,
        client=arguments.client,
        speed=arguments.speed,
        answer_seconds=NEVER,
    )
    with tempfile.TemporaryDirectory() as runtime:  # engines of its own, which are not the user's
        os.environ["XDG_RUNTIME_DIR"] = runtime
        record, faults = asyncio.run(measure(script, arguments.kills, arguments.hangs))
        told = report(record, faults, processes_left(runtime))
    Console().print(table(told))
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=2), encoding="utf-8")
    harmed = told["kills"] >= arguments.kills and told["hangs"] >= arguments.hangs
    sys.exit(not harmed or any(told[name] for name in FORBIDDEN))


if __name__ == "__main__":
    main()
