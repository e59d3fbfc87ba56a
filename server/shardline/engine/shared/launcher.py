"""Processes of engines: started by whoever needs one first, and shared by all who need the same."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import Timeout

from shardline import children
from shardline.engine import Progress, Report
from shardline.engine.shared import control, registry
from shardline.engine.shared.registry import Entry
from shardline.errors import AwayError, EngineError
from shardline.settings import Settings, as_values

START_SECONDS = 30.0
"""How long one may take until it listens, which it does before it loads the model."""

TELL_SECONDS = 5.0
"""How long somebody else may be starting an engine until that is told."""

OTHER_SECONDS = 120.0
"""How long somebody else may be starting an engine: it may wait for one that hangs first."""

LOOK_SECONDS = 0.1
"""How often it is looked whether somebody else has started an engine."""


async def find_or_start(settings: Settings, beside: Mapping[str, Any], report: Report = lambda _: None) -> Entry:
    """The engine of this user for these settings of the model; raises `EngineError` where it does not start.

    A new one is told the placement `beside` of the model that stays until it is ready, which is empty where there is
    none, and takes the place of those that nobody uses any more. `report` is told who else is waited for.
    """
    name = registry.identify(settings.model)
    began, told = time.monotonic(), False
    while not (entry := registry.find(name)):
        with contextlib.suppress(Timeout), registry.starting(name):
            if entry := registry.find(name):
                return entry
            await control.end_unused(report)
            return await _start(name, settings, beside)
        waited = time.monotonic() - began
        if waited > OTHER_SECONDS:
            starter = registry.who_starts(name)
            raise AwayError(f"No engine can be started: {starter}, has been starting one for {waited:.0f} seconds.")
        if waited > TELL_SECONDS and not told:
            report(Progress(activity=f"Another window starts the engine: {registry.who_starts(name)}"))
            told = True
        await asyncio.sleep(LOOK_SECONDS)
    return entry


async def _start(name: str, settings: Settings, beside: Mapping[str, Any]) -> Entry:
    order = {"settings": as_values(replace(settings, model=registry.absolute(settings.model))), "beside": beside}
    log = registry.log_file(name)
    process, log_began = _launch(name, json.dumps(order).encode())
    again = f"It is started again; its log is {log}."
    try:
        line = await _first_line(process)
    except TimeoutError:
        raise AwayError(f"The engine did not start within {START_SECONDS:g} seconds. {again}") from None
    finally:
        threading.Thread(target=_reap, args=(process, log), name="engine-process", daemon=True).start()
    if line:
        return Entry(**json.loads(line))
    if await asyncio.to_thread(process.wait) < 0:
        raise AwayError(f"The engine was killed when it started. {again}")
    if entry := registry.find(name):
        return entry  # `shardline serve`, which was faster
    raise EngineError(f"The engine did not start: {_last_words(log, log_began)}")


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


def _launch(name: str, order: bytes) -> tuple["subprocess.Popen[bytes]", int]:
    """Start a process that outlives this one, and tell it what to do; returns also where its part of the log begins."""
    pipe = subprocess.PIPE
    with registry.log_of(name) as log:
        began = os.fstat(log).st_size
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
    return process, began


def _reap(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for the end of a process; a signal that ended it is noted in its log, where it may have said nothing."""
    code = process.wait()
    if code < 0:
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as stream:
            stream.write(f"The engine was ended by a signal: {signal.strsignal(-code)}.\n")


def _last_words(log: Path, began: int) -> str:
    """The last line that was written to the log from this byte on."""
    try:
        text = log.read_bytes()[began:].decode(errors="replace")
    except OSError as error:
        return f"its log cannot be read ({log}: {error.strerror})."
    said = [line for line in text.split("\n") if line.strip()]
    return f"{said[-1]} ({log})" if said else f"{log} says nothing."
