"""The cache of the native library.

It loads a library only as it was built, and no more after it has crashed twice.
"""

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
"""After so many failures it is not built again: another build would fail too."""

FAILURE = re.compile(r"^(Fatal Python error|OSError)", re.MULTILINE)


def open_folder() -> None:
    """Make the folder, or empty one that others could write to; raises `OSError` if it is somebody else's."""
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
            file.unlink()  # anybody may have written it


def find() -> Path | None:
    """Return the library if it is as it was built and has not failed since, else remove it; raises `OSError`."""
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
    """Wait until nobody builds the library, and yield a lock; the build goes on while any process keeps it open."""
    import fcntl  # lazy: Windows has none

    lock = os.open(build.library().with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def failures() -> int:
    """Count how often it failed to load or crashed a process, since it last worked."""
    try:
        return len(FAILURE.findall(failures_file().read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return 0


def failures_file() -> Path:
    """Return the path of the file that says how it failed."""
    return build.library().with_suffix(".failures")


@contextlib.contextmanager
def tried() -> Iterator[None]:
    """Record if this process crashes, or cannot load the library, while it tries it; clear the record if it works."""
    try:
        file = failures_file().open("a", encoding="utf-8")
    except OSError:  # a read-only folder
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
