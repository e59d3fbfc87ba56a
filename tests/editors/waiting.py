"""Waiting for what tells nobody that it has happened: a file on the disk, the screen of a terminal."""

import time
from collections.abc import Callable

GUARD_SECONDS = 20
_LOOK_SECONDS = 0.02


def until(holds: Callable[[], bool], seconds: float = GUARD_SECONDS) -> None:
    """Look again and again until it holds; returns also when it never will, for an assertion to say what is there."""
    latest = time.monotonic() + seconds
    while not holds() and time.monotonic() < latest:
        time.sleep(_LOOK_SECONDS)
