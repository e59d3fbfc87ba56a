"""What a typing person notices of an engine that is killed, again and again: `python -m tests.shared.kill`.

A file is typed in front of the real server while its engine is killed at random moments; `shardline replay` tells the
requests that were never answered, and the suggestions that were untrue.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

from shardline.engine import process, registry

LOOK_SECONDS = 0.1
KEYS_PER_KILL = 30


async def kill(times: int, longest: float, chance: random.Random) -> None:
    """Kill each engine that comes, so many times."""
    for _ in range(times):
        while not (entries := registry.all_entries()):  # noqa: ASYNC110  a file that another process writes
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(chance.uniform(0, longest))
        for entry in entries:
            os.kill(entry.pid, signal.SIGKILL)
            async with await registry.ended(entry.id).acquire():
                pass


async def measure(arguments: argparse.Namespace, figures: Path) -> None:
    chance = random.Random(arguments.seed)  # noqa: S311  not a secret
    keys = ["--keystrokes", str(arguments.kills * KEYS_PER_KILL), "--seed", str(arguments.seed), "--json", str(figures)]
    typing = await asyncio.create_subprocess_exec(sys.executable, "-m", "shardline", "replay", arguments.file, *keys)
    killing = asyncio.create_task(kill(arguments.kills, arguments.longest, chance))
    ended = asyncio.create_task(typing.wait())
    await asyncio.wait([killing, ended], return_when=asyncio.FIRST_COMPLETED)
    print("All were killed." if killing.done() else "There were not enough keys for all kills.")  # noqa: T201
    killing.cancel()
    await ended
    for entry in registry.all_entries():
        await process.end(entry)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", default=json.__file__, help="what is typed")
    parser.add_argument("--kills", type=int, default=50, help="how often the engine is killed")
    parser.add_argument("--longest", type=float, default=8.0, help="how many seconds one may live, at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:  # engines of its own, which are not the user's
        os.environ["XDG_RUNTIME_DIR"] = folder
        asyncio.run(measure(arguments, Path(folder) / "figures.json"))


if __name__ == "__main__":
    main()
