"""Private files and folders, and where caches, logs and sockets lie."""

import errno
import os
import stat
import warnings
from pathlib import Path

from platformdirs import user_cache_path, user_runtime_path, user_state_path

OTHERS_WRITE = 0o022
"""The permissions to write that a group and everybody may have."""


def refuse_open_umask() -> None:
    """Let what this process makes be written to by its user alone, where the umask would let everybody."""
    umask = os.umask(OTHERS_WRITE)
    if umask & 0o002:
        os.umask(umask)
    else:
        os.umask(umask | OTHERS_WRITE)


def runtime_folder() -> Path:
    """Return the user's folder for what runs; raises `OSError` where none can be made.

    Where the system has none that only this user may write to, it lies in the user's home.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the folder that takes the place of XDG_RUNTIME_DIR is as good for a file
            folder = user_runtime_path("shardline", appauthor=False)
        make_folders(folder.parent)
        check_private(folder.parent)
        make_private(folder)
    except OSError:
        state = user_state_path("shardline", appauthor=False)
        make_folders(state.parent)
        make_private(state)
        folder = state / "run"
        make_private(folder)
    return folder


def make_folders(folder: Path) -> None:
    """Make `folder` and those around it, each that is not there for this user alone; raises `OSError`."""
    for place in reversed([folder, *folder.parents]):
        if not place.exists():
            place.mkdir(mode=0o700, exist_ok=True)


def make_private(folder: Path) -> None:
    """Make `folder` this user's alone, whatever the umask is or was; raises `OSError` where it is somebody else's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    check_private(folder)


def check_private(path: Path) -> None:
    """Raise `OSError` where others than this user may change the file or folder `path`."""
    status = path.stat()
    if os.name == "posix" and (status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & OTHERS_WRITE):
        raise PermissionError(errno.EACCES, "others may write to it", str(path))


def write_private(file: Path, text: str) -> None:
    """Write `text` to `file`, whole or not at all, in place of what was there; raises `OSError`."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with open(new, "x", encoding="utf-8", opener=_private) as stream:
        stream.write(text)
    new.replace(file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def cache_folder() -> Path:
    """Return the folder of fetched and unpacked models."""
    return user_cache_path("shardline", appauthor=False)
