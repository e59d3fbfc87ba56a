"""Processes of engines: started by whoever needs one first, shared by all who need the same, and ended."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import Timeout

from shardline import children
from shardline.engine import registry
from shardline.engine.connection import Connection
from shardline.engine.registry import Entry
from shardline.errors import AwayError, EngineError
from shardline.settings import Settings, as_values

START_SECONDS = 60.0
"""How long one may take until it listens, which it does before it loads the model."""

END_SECONDS = 10.0
"""How long an engine that was told to end may take."""


async def find_or_start(settings: Settings, beside: Mapping[str, Any]) -> Entry:
    """The engine of this user for these settings of the model; raises `EngineError` where it does not start.

    A new one is told the placement `beside` of the model that stays until it is ready, which is empty where there is
    none, and takes the place of those that nobody uses any more.
    """
    name = registry.identify(settings.model)
    if entry := registry.find(name):
        return entry
    async with registry.starting(name):
        if entry := registry.find(name):
            return entry
        await end_unused()
        return await _start(name, settings, beside)


async def end_unused() -> None:
    """End the engines that nobody uses any more."""
    for entry in registry.all_entries():
        await end(entry, unused=True)


async def ask_state(entry: Entry) -> dict[str, Any]:
    """How an engine is; raises `AwayError`."""
    state: dict[str, Any] = await _ask(entry, "GET", "/engine/state")
    return state


async def end(entry: Entry, *, unused: bool = False) -> bool:
    """End an engine and wait until its memory is free; `unused`, only if those who used it have left it.

    Returns whether it has ended.
    """
    try:
        stops: bool = (await _ask(entry, "POST", "/engine/stop", {"unused": unused}))["stops"]
    except AwayError:
        stops = not unused
    if stops and not await _has_ended(entry):
        with contextlib.suppress(ProcessLookupError):
            os.kill(entry.pid, signal.SIGTERM)
        return await _has_ended(entry)
    return stops


async def _ask(entry: Entry, method: str, path: str, values: Any = None) -> Any:
    """Ask an engine once."""
    connection = await Connection.open(entry)
    try:
        return await connection.ask(method, path, values)
    finally:
        connection.close()


async def _has_ended(entry: Entry) -> bool:
    try:
        async with await registry.ended(entry.id).acquire(timeout=END_SECONDS):
            return True
    except Timeout:
        return False


async def _start(name: str, settings: Settings, beside: Mapping[str, Any]) -> Entry:
    order = {"settings": as_values(replace(settings, model=registry.absolute(settings.model))), "beside": beside}
    process = _launch(name, json.dumps(order).encode())
    log = registry.log_file(name)
    again = f"It is started again; its log is {log}."
    try:
        line = await _first_line(process)
    except TimeoutError:
        raise AwayError(f"The engine did not start within {START_SECONDS:g} seconds. {again}") from None
    finally:
        threading.Thread(target=process.wait, name="engine-process", daemon=True).start()
    if line:
        return Entry(**json.loads(line))
    if await asyncio.to_thread(process.wait) < 0:
        raise AwayError(f"The engine was killed when it started. {again}")
    if entry := registry.find(name):
        return entry  # `shardline serve`, which was faster
    raise EngineError(f"The engine did not start: {_last_words(log)}")


async def _first_line(process: "subprocess.Popen[bytes]") -> bytes:
    """What it says when it listens, empty if it ends before; where nobody waits for that any more, it is killed."""
    if process.stdout is None:
        raise EngineError("The engine has no standard output.")
    with process.stdout as output:
        try:
            async with asyncio.timeout(START_SECONDS):
                return await asyncio.to_thread(output.readline)
        except BaseException:
            process.kill()  # and `output` can be closed, which another thread is still reading
            raise


def _launch(name: str, order: bytes) -> "subprocess.Popen[bytes]":
    """Start a process that outlives this one, and tell it what to do."""
    pipe = subprocess.PIPE
    with registry.log_of(name) as log:
        process = subprocess.Popen(  # noqa: S603  our own
            children.module("shardline", "engine-process"),
            stdin=pipe,
            stdout=pipe,
            stderr=log,
            start_new_session=True,
            **children.surroundings(),
        )
    if process.stdin:
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(order)
    return process


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line for line in lines if line.strip()]
    return f"{said[-1]} ({log})" if said else f"{log} says nothing."
