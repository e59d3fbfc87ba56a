"""Unannounced ends: a signal, or the death of the client's process."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any

SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")]
"""The signals that ask a process to end; not every system has all."""

END_SECONDS = 5.0
"""The time to end in good order after a signal."""

POLL_SECONDS = 2.0
"""The time between two checks of the client's process."""


def run(main: Coroutine[Any, Any, None]) -> int:
    """Run `main` until it returns or a signal comes; return the exit code, 128 + n for signal n.

    Signals ignored at the start, as by `nohup`, stay ignored. Further signals change nothing.
    """
    received: list[int] = []

    async def until_signal() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)

        def receive(number: int, _: FrameType | None) -> None:
            if not received:
                received.append(number)
                _end_within(END_SECONDS, 128 + number)
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(task.cancel)

        for each in SIGNALS:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, receive)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(until_signal())
    return 128 + received[0] if received else 0


def _end_within(seconds: float, code: int) -> None:
    """Kill this process after `seconds`, whatever still runs."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


async def client_ended(pid: int | None) -> bool:
    """Wait until the process `pid` has ended; return False at once if there is none.

    The pid of a client in another container or on another machine means nothing here. If a local process has it by
    chance, the end of that process counts as the client's.
    """
    if pid is None:
        return False
    import psutil  # lazy: the answer to `initialize` need not wait for it

    try:
        process = psutil.Process(pid)  # knows the creation time too: pids are reused
    except (psutil.Error, ValueError, OverflowError):
        return False
    with contextlib.suppress(psutil.Error):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110  there is no event to wait for
            await asyncio.sleep(POLL_SECONDS)
    return True
