"""Child processes that never run what lies in the user's working directory.

Imports nothing that could itself come from that folder: `isolate` has to run first.
"""

import os
import sys
from typing import TypedDict

SAFE_PATH = "PYTHONSAFEPATH"
OURS = "shardline"
"""Value of the variable where this program has set it: any text counts as set."""


class Surroundings(TypedDict):
    """The working directory and the environment of a child, named as `subprocess` and `asyncio` name them."""

    cwd: str
    env: dict[str, str]


def isolate() -> None:
    """Keep the working directory off the import path, here and in every Python that is started from here.

    The environment says so because libraries start children too.
    """
    if not sys.flags.safe_path and sys.path[:1] in ([""], [_working_directory()]):  # as `python -m` begins it
        del sys.path[0]
    os.environ.setdefault(SAFE_PATH, OURS)


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-P", "-m", name, *arguments]


def surroundings() -> Surroundings:
    """Return what every child of our own is started with; raises `SettingsError` where it has no folder to work in."""
    return {"cwd": _private_folder(), "env": {**os.environ, SAFE_PATH: OURS}}


def inherited() -> Surroundings:
    """Return what a command of the user's own is started with: all as this process found it."""
    added = {SAFE_PATH} if os.environ.get(SAFE_PATH) == OURS else set()
    return {"cwd": os.curdir, "env": {name: value for name, value in os.environ.items() if name not in added}}


def _working_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  pathlib might come from there
    except OSError:  # it was removed
        return None


def _private_folder() -> str:
    """Return an empty folder that only this user can write to."""
    from shardline.errors import SettingsError
    from shardline.folders import make_private, runtime_folder

    try:
        folder = runtime_folder() / "work"
        make_private(folder)
        for planted in folder.iterdir():  # while others could write to it
            planted.unlink()
    except OSError as error:
        raise SettingsError(f"There is no private folder to work in ({error}); set XDG_RUNTIME_DIR.") from error
    return str(folder)
