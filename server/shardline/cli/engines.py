"""The engines that the editors of this user share: which run, who uses them, and their end."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

from rich.table import Table

from shardline.cli.console import Console, say
from shardline.engine import process, registry
from shardline.engine.registry import Entry
from shardline.errors import AwayError, EngineError


def show(*, as_json: bool) -> None:
    """Tell which run."""
    told = asyncio.run(_all_states())
    if as_json:
        print(json.dumps(told, indent=2))  # noqa: T201
    elif told:
        Console().print(_table(told))
    else:
        print("No engine runs.")  # noqa: T201


def stop(id: str, *, every: bool) -> None:  # noqa: A002  what it is called everywhere
    """Stop the one of this name, or the only one, or all; raises `EngineError` where that cannot be done."""
    entries = registry.all_entries()
    chosen = [entry for entry in entries if every or entry.id == id or (not id and len(entries) == 1)]
    if not chosen and not every:
        raise EngineError(
            f"No engine {id} runs; see `shardline engines`."
            if id or not entries
            else "Several engines run; name one as `shardline engines` does, or say --all."
        )
    for entry in chosen:
        if not asyncio.run(process.end(entry)):
            raise EngineError(f"The engine {entry.id} does not end; its process is {entry.pid}.")
        say(f"Stopped {entry.id}, {entry.model}.")


async def _all_states() -> list[dict[str, Any]]:
    return [{**_described(entry), **await _state(entry)} for entry in registry.all_entries()]


def _described(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if name != "key"}


async def _state(entry: Entry) -> dict[str, Any]:
    try:
        return await process.ask_state(entry)
    except AwayError as error:
        return {"ready": False, "clients": 0, "error": type(error).__name__, "sentence": str(error)}


def _table(told: list[dict[str, Any]]) -> Table:
    table = Table("Engine", "Model", "Version", "State", "Editors", "Process")
    for engine in told:
        state = "ready" if engine["ready"] else engine.get("sentence", "loading")
        table.add_row(
            engine["id"], engine["model"], engine["version"], state, str(engine["clients"]), str(engine["pid"])
        )
    return table
