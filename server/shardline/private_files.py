"""Files that only this user may read, and where those are of what runs."""

import errno
import os
import stat
import warnings
from pathlib import Path

from platformdirs import user_runtime_path


def runtime_folder() -> Path:
    """The user's folder for what runs, which may not be there yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the folder that takes the place of XDG_RUNTIME_DIR is as good for a file
        return user_runtime_path("shardline", appauthor=False)


def write_private(file: Path, text: str) -> None:
    """Write `text` to `file`, whole or not at all, in place of what was there; raises `OSError`."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with open(new, "x", encoding="utf-8", opener=_private) as stream:
        stream.write(text)
    new.replace(file)


def make_private(folder: Path) -> None:
    """Make `folder` and those above it for this user alone; raises `OSError` where others may write to it."""
    for each in reversed([folder, *folder.parents]):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if os.name == "posix" and (
        not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077
    ):
        raise PermissionError(errno.EPERM, "others may write to it", str(folder))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
