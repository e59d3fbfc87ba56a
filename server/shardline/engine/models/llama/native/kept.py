"""The library in the user's cache folder: loaded only as it was made, and no more where it has crashed twice."""

import contextlib
import errno
import faulthandler
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from shardline.engine.models.llama.native import build
from shardline.folders import check_private, make_folders, make_private

MAX_FAILURES = 2
"""After so many it is not made again: there is a reason that this does not end."""

FAILURE = re.compile(r"^(Fatal Python error|OSError)", re.MULTILINE)


def open_folder() -> None:
    """Make the folder, and empty one that others could write to; raises `OSError` where it is somebody else's."""
    folder = build.library().parent
    make_folders(folder)
    for parent in folder.resolve().parents:
        if parent.stat().st_mode & 0o1002 == 0o002:
            raise PermissionError(errno.EACCES, "others may put another folder in its place", str(parent))
    try:
        check_private(folder)
    except PermissionError:
        make_private(folder)
        for file in folder.iterdir():
            file.unlink()  # anybody may have put it there


def find() -> Path | None:
    """Return the library if it is as it was made and has not failed since; removes it if not; raises `OSError`."""
    library, checksum = build.library(), _checksum()
    try:
        check_private(library)
        check_private(checksum)
        found = hashlib.sha256(library.read_bytes()).hexdigest()
        if checksum.read_bytes().startswith(found.encode()) and not _has_failed_since(library):
            return library
    except (FileNotFoundError, PermissionError):
        pass
    library.unlink(missing_ok=True)
    checksum.unlink(missing_ok=True)
    return None


@contextlib.contextmanager
def making() -> Iterator[int]:
    """Wait until nobody makes the library; whoever keeps the file open that this yields is the one who does."""
    import fcntl  # here, because Windows has none

    lock = os.open(build.library().with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def failures() -> int:
    """Count how often it could not be loaded or crashed a process, since it was last found right."""
    try:
        return len(FAILURE.findall(failures_file().read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return 0


def failures_file() -> Path:
    """Where it is told how it failed."""
    return build.library().with_suffix(".failures")


@contextlib.contextmanager
def tried() -> Iterator[None]:
    """Note where this process crashes, or cannot load it, while it tries the library; forget that where it is right."""
    try:
        file = failures_file().open("a", encoding="utf-8")
    except OSError:  # the folder can only be read
        yield
        return
    with file:
        was_enabled = faulthandler.is_enabled()
        faulthandler.enable(file)
        try:
            yield
        except OSError as error:
            file.write(f"OSError: {error}\n")
            raise
        finally:
            if was_enabled:
                faulthandler.enable(sys.__stderr__ or 2)
            else:
                faulthandler.disable()
            if not file.tell():
                failures_file().unlink(missing_ok=True)
    failures_file().unlink(missing_ok=True)


def _has_failed_since(library: Path) -> bool:
    return bool(failures()) and failures_file().stat().st_mtime_ns >= library.stat().st_mtime_ns


def _checksum() -> Path:
    return build.library().with_suffix(".so.sha256")
