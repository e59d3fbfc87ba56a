"""Looks at, ends and kills engines that run; one that hangs makes nobody wait for ever."""

import asyncio
import contextlib
import math
import os
import signal
from collections.abc import Awaitable
from typing import Any, TypeVar

from shardline.engine import Progress, Report
from shardline.engine.shared import registry
from shardline.engine.shared.h11_client import Connection
from shardline.engine.shared.registry import Entry
from shardline.errors import EngineError, NotReadyError

T = TypeVar("T")

ASK_SECONDS = 3.0
"""How long an engine may take to answer who only looks at it or wants it to end."""

SILENCE_SECONDS = 30.0
"""An engine that says nothing for so long hangs, and is killed: while it imports torch it may be silent for a while."""

END_SECONDS = 10.0
"""How long an engine that was told to end may take."""

TICK_SECONDS = 1.0
"""A silence is measured in parts of this length."""

LOOK_SECONDS = 0.02
"""How often it is looked whether an engine has ended."""

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


async def ask_state(entry: Entry) -> dict[str, Any]:
    """Return how an engine is; raises `EngineError`."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            state: dict[str, Any] = await _ask(entry, "GET", "/engine/state")
    except TimeoutError:
        raise NotReadyError(f"It does not answer; `shardline engines stop {entry.id}` ends it.") from None
    return state


async def leave(entry: Entry, client: str) -> None:
    """Tell an engine that the client of this path has left, and wait until it knows, unless it hangs."""
    with contextlib.suppress(TimeoutError, EngineError):
        async with asyncio.timeout(ASK_SECONDS):
            await _ask(entry, "DELETE", client)


async def end(entry: Entry) -> bool:
    """End an engine and wait until its memory is free; returns whether it has ended."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await _ask(entry, "POST", "/engine/stop", {})
    except TimeoutError:
        return await _end_by_force(entry)
    except EngineError:
        pass  # it may be about to end
    return await has_ended(entry, END_SECONDS) or await _end_by_force(entry)


async def end_unused(report: Report = lambda _: None) -> None:
    """End the engines that nobody uses any more, and those that hang, which `report` is told of."""
    await asyncio.gather(*(_end_if_unused(entry, report) for entry in registry.all_entries()))


async def kill(entry: Entry) -> bool:
    """Kill an engine, and wait until its memory is free; returns whether it has ended."""
    _send(entry, KILL)
    return await has_ended(entry, END_SECONDS)


async def has_ended(entry: Entry, seconds: float) -> bool:
    """Wait until an engine has ended, for so many seconds; returns whether it has."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while registry.find(entry.id) == entry:  # noqa: ASYNC110  nothing tells of the end of another's child
                await asyncio.sleep(LOOK_SECONDS)
    return registry.find(entry.id) != entry


async def within(seconds: float, waiting: Awaitable[T]) -> T:
    """Wait for so many seconds in which this process runs: it may be stopped too; raises `TimeoutError`."""
    task = asyncio.ensure_future(waiting)
    try:
        for _ in range(math.ceil(seconds / TICK_SECONDS)):
            await asyncio.wait([task], timeout=min(seconds, TICK_SECONDS))
            if task.done():
                return task.result()
        raise TimeoutError
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _end_if_unused(entry: Entry, report: Report) -> None:
    waiting = Progress(activity=f"Waiting for the engine of {entry.model} (process {entry.pid}), which does not answer")
    telling = asyncio.get_running_loop().call_later(ASK_SECONDS, report, waiting)
    try:
        stops = (await within(SILENCE_SECONDS, _ask(entry, "POST", "/engine/stop", {"unused": True})))["stops"]
    except TimeoutError:
        await kill(entry)
    except EngineError:
        return  # it ends, or is none of this version
    else:
        if stops and not await has_ended(entry, END_SECONDS):
            await _end_by_force(entry)
    finally:
        telling.cancel()


async def _end_by_force(entry: Entry) -> bool:
    _send(entry, signal.SIGTERM)
    return await has_ended(entry, END_SECONDS) or await kill(entry)


def _send(entry: Entry, number: int) -> None:
    """Send a signal to an engine, if its process is still the one that was found."""
    if registry.find(entry.id) == entry:
        with contextlib.suppress(OSError):
            os.kill(entry.pid, number)


async def _ask(entry: Entry, method: str, path: str, values: Any = None) -> Any:
    """Ask an engine once."""
    connection = await Connection.open(entry)
    try:
        return await connection.ask(method, path, values)
    finally:
        connection.abort()
