"""List of the engines that a user's editors share, and their end."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

from rich.table import Table

from shardline.console import Console, say
from shardline.engine.shared import control, registry
from shardline.engine.shared.registry import Entry
from shardline.errors import EngineError


def show(*, as_json: bool) -> None:
    """Tell which run."""
    states = asyncio.run(_all_states())
    if as_json:
        print(json.dumps(states, indent=2))  # noqa: T201
    elif states:
        Console().print(_table(states))
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
    left = [entry for entry, ended in asyncio.run(_end(chosen)) if not ended]
    if left:
        names = ", ".join(f"{entry.id} (process {entry.pid})" for entry in left)
        raise EngineError(f"These engines do not end: {names}.")


async def _end(chosen: list[Entry]) -> list[tuple[Entry, bool]]:
    """End all at once, and print each as soon as it has ended."""

    async def end(entry: Entry) -> tuple[Entry, bool]:
        ended = await control.end(entry)
        if ended:
            say(f"Stopped {entry.id}, {entry.model}.")
        return entry, ended

    return await asyncio.gather(*map(end, chosen))


async def _all_states() -> list[dict[str, Any]]:
    entries = registry.all_entries()
    states = await asyncio.gather(*map(_state, entries))
    return [{**_described(entry), **state} for entry, state in zip(entries, states, strict=True)]


def _described(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if name != "key"}


async def _state(entry: Entry) -> dict[str, Any]:
    try:
        return await control.ask_state(entry)
    except EngineError as error:
        return {"ready": False, "clients": 0, "error": type(error).__name__, "sentence": str(error)}


def _table(states: list[dict[str, Any]]) -> Table:
    table = Table("Engine", "Model", "Version", "State", "Editors", "Process")
    for engine in states:
        state = "ready" if engine["ready"] else engine.get("sentence", "loading")
        table.add_row(
            engine["id"], engine["model"], engine["version"], state, str(engine["clients"]), str(engine["pid"])
        )
    return table
