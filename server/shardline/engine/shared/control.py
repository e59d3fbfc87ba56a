"""Control of running engine processes: state, stop and kill, with timeouts."""

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
"""Timeout for an engine's answer to a request for its state or its end."""

SILENCE_SECONDS = 30.0
"""An engine that sends nothing for this long hangs and is killed; its import of torch may take a while."""

END_SECONDS = 10.0
"""How long an engine may take to end after a request or a signal."""

TICK_SECONDS = 1.0
"""Silence is measured in steps of this length, so that a suspended process does not count it."""

LOOK_SECONDS = 0.02
"""Interval between checks whether an engine has ended."""

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


async def ask_state(entry: Entry) -> dict[str, Any]:
    """Return the state of an engine; raises `EngineError`."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            state: dict[str, Any] = await _ask(entry, "GET", "/engine/state")
    except TimeoutError:
        raise NotReadyError(f"It does not answer; `shardline engines stop {entry.id}` ends it.") from None
    return state


async def leave(entry: Entry, client: str) -> None:
    """Report to an engine that the client at this path has left; wait for its answer unless it hangs."""
    with contextlib.suppress(TimeoutError, EngineError):
        async with asyncio.timeout(ASK_SECONDS):
            await _ask(entry, "DELETE", client)


async def end(entry: Entry) -> bool:
    """Stop an engine and wait until its memory is free; returns whether it has ended."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await _ask(entry, "POST", "/engine/stop", {})
    except TimeoutError:
        return await _end_by_force(entry)
    except EngineError:
        pass  # it may be ending already
    return await has_ended(entry, END_SECONDS) or await _end_by_force(entry)


async def end_unused(report: Report = lambda _: None) -> None:
    """Stop the engines without clients and kill those that hang; `report` receives which ones delay this."""
    await asyncio.gather(*(_end_if_unused(entry, report) for entry in registry.all_entries()))


async def kill(entry: Entry) -> bool:
    """Kill an engine and wait until its memory is free; returns whether it has ended."""
    _send(entry, KILL)
    return await has_ended(entry, END_SECONDS)


async def has_ended(entry: Entry, seconds: float) -> bool:
    """Wait up to `seconds` until an engine has ended; returns whether it has."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while registry.find(entry.id) == entry:  # noqa: ASYNC110  the system reports no end of another's child
                await asyncio.sleep(LOOK_SECONDS)
    return registry.find(entry.id) != entry


async def within(seconds: float, waiting: Awaitable[T]) -> T:
    """Await `waiting` with a timeout that counts only while this process runs; raises `TimeoutError`.

    The time for which a laptop sleeps is not the engine's.
    """
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
    delayed = asyncio.get_running_loop().call_later(ASK_SECONDS, report, waiting)
    try:
        stops = (await within(SILENCE_SECONDS, _ask(entry, "POST", "/engine/stop", {"unused": True})))["stops"]
    except TimeoutError:
        await kill(entry)
    except EngineError:
        return  # it is ending, or of another version
    else:
        if stops and not await has_ended(entry, END_SECONDS):
            await _end_by_force(entry)
    finally:
        delayed.cancel()


async def _end_by_force(entry: Entry) -> bool:
    _send(entry, signal.SIGTERM)
    return await has_ended(entry, END_SECONDS) or await kill(entry)


def _send(entry: Entry, number: int) -> None:
    """Send a signal to an engine if its process is still the registered one."""
    if registry.find(entry.id) == entry:
        with contextlib.suppress(OSError):
            os.kill(entry.pid, number)


async def _ask(entry: Entry, method: str, path: str, values: Any = None) -> Any:
    """Send one request over a connection of its own."""
    connection = await Connection.open(entry)
    try:
        return await connection.ask(method, path, values)
    finally:
        connection.abort()
