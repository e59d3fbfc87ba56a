"""Unannounced ends: signals, and the death of the client's process."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any

SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")]
"""Those by which systems and terminals ask a process to end; not every system has all."""

END_SECONDS = 5.0
"""How long the process may take to end in good order when it is asked to by a signal."""

POLL_SECONDS = 2.0
"""How often is looked whether the client's process is alive."""


def run(main: Coroutine[Any, Any, None]) -> int:
    """Run `main` in an event loop until it returns or a signal comes; return the exit code by which shells tell both.

    Signals that this process was started to ignore, as by `nohup`, stay ignored. Further ones change nothing.
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
    """End this process after so long, whatever still keeps it."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


async def client_ended(pid: int | None) -> bool:
    """Wait until the process of this number has ended; return False at once where there is none.

    A client in another container or on another machine names a number that means nothing here. If it belongs to a
    process of this machine by chance, the end of that one is taken for the client's.
    """
    if pid is None:
        return False
    import psutil  # here, because the answer to `initialize` need not wait for it

    try:
        process = psutil.Process(pid)  # which knows the time of creation too: numbers are given again
    except (psutil.Error, ValueError, OverflowError):
        return False
    with contextlib.suppress(psutil.Error):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110  no event reports it
            await asyncio.sleep(POLL_SECONDS)
    return True
