"""Launcher of engine processes, one for all windows with equal settings."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

from filelock import Timeout

from shardline import children
from shardline.engine import Progress, Report
from shardline.engine.plan import Plan
from shardline.engine.shared import control, registry
from shardline.engine.shared.registry import Entry
from shardline.errors import AwayError, EngineError
from shardline.settings import Settings, as_values

START_SECONDS = 30.0
"""Timeout until an engine process listens, which it does before it loads the model."""

REPORT_SECONDS = 5.0
"""Report that another window starts the engine after waiting this long for it."""

OTHER_SECONDS = 120.0
"""Timeout for another window that starts the engine; it may wait for an engine that hangs first."""

LOOK_SECONDS = 0.1
"""Interval between checks whether another window has started the engine."""


async def find_or_start(settings: Settings, beside: Plan | None, report: Report = lambda _: None) -> Entry:
    """Return the user's engine for these settings of the model; raises `EngineError` if it does not start.

    `beside` is the plan of a model that stays loaded until the new one is ready. Before a new engine
    starts, those without clients are stopped. `report` receives which process is waited for.
    """
    name = registry.identify(settings.model)
    began, reported = time.monotonic(), False
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
        if waited > REPORT_SECONDS and not reported:
            report(Progress(activity=f"Another window starts the engine: {registry.who_starts(name)}"))
            reported = True
        await asyncio.sleep(LOOK_SECONDS)
    return entry


async def _start(name: str, settings: Settings, beside: Plan | None) -> Entry:
    order = {
        "settings": as_values(replace(settings, model=registry.absolute(settings.model))),
        "beside": beside and beside.as_json(),
    }
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
        return entry  # `shardline serve` was faster
    raise EngineError(f"The engine did not start: {_last_line(log, log_began)}")


async def _first_line(process: "subprocess.Popen[bytes]") -> bytes:
    """Return the line that the process prints once it listens, empty if it ends before; kill it on cancellation."""
    if process.stdout is None:
        raise EngineError("The engine has no standard output.")
    with process.stdout as output:
        try:
            async with asyncio.timeout(START_SECONDS):
                return await asyncio.to_thread(output.readline)
        except BaseException:
            process.kill()  # ends the other thread's read, so that `output` can be closed
            raise


def _launch(name: str, order: bytes) -> tuple["subprocess.Popen[bytes]", int]:
    """Start a process that outlives this one and send it `order`; returns also the offset of its part of the log."""
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
    """Wait for the end of a process and write the signal that ended it, if any, to its log."""
    code = process.wait()
    if code < 0:
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as stream:
            stream.write(f"The engine was ended by a signal: {signal.strsignal(-code)}.\n")


def _last_line(log: Path, began: int) -> str:
    """Return the last line of the log from byte `began` on."""
    try:
        text = log.read_bytes()[began:].decode(errors="replace")
    except OSError as error:
        return f"its log cannot be read ({log}: {error.strerror})."
    lines = [line for line in text.split("\n") if line.strip()]
    return f"{lines[-1]} ({log})" if lines else f"{log} says nothing."
