"""Registry of a user's running engines.

Each has a file in the user's runtime folder that only the user may read.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from platformdirs import user_log_path

import shardline
from shardline.errors import EngineError
from shardline.folders import check_private, make_folders, runtime_folder, write_private
from shardline.model_path import model_path
from shardline.settings import ModelSettings, Settings, as_values

ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME")
"""Environment variables that a model depends on besides its settings."""

LOOK_SECONDS = 1.0
"""How long another process may hold an engine's lock while it checks whether the engine runs."""

MAX_LOG_BYTES = 1 << 18
"""A longer log is rotated when the next engine starts."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A running engine: its model, address, process and API key."""

    id: str
    model: str
    version: str
    pid: int
    host: str
    port: int
    key: str


def identify(settings: ModelSettings) -> str:
    """Return the id of interchangeable engines: of one version, one model and one placement."""
    values = {
        "version": shardline.__version__,
        "package": str(Path(shardline.__file__).resolve()),
        "python": sys.executable,
        "settings": as_values(Settings(model=absolute(settings)))["model"],
        "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def absolute(settings: ModelSettings) -> ModelSettings:
    """Return the settings with absolute paths, the same for processes in any folder."""
    names = {"name": settings.name, "draft": settings.draft}
    whole = {key: str(path) for key, name in names.items() if (path := model_path(name))}
    if settings.offload_folder is not None:
        whole["offload_folder"] = os.path.abspath(Path(settings.offload_folder).expanduser())  # noqa: PTH100
    return replace(settings, **whole)  # type: ignore[arg-type]


def find(id: str) -> Entry | None:  # noqa: A002  as `Entry.id`
    """Return the running engine of this id, or None after removing the file of a dead one; raises `EngineError`."""
    file = _file(id)
    try:
        entry = Entry(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        entry = None
    try:
        with _usable_folder(), running(id).acquire(blocking=False):
            file.unlink(missing_ok=True)
            return None
    except Timeout:
        return entry


def all_entries() -> list[Entry]:
    """Return all running engines; raises `EngineError`."""
    return [entry for file in sorted(_folder().glob("*.json")) if (entry := find(file.stem))]


@contextlib.contextmanager
def registered(settings: ModelSettings, *, url: str, key: str) -> Iterator[Entry]:
    """Register the engine of this process, which listens at `url`; raises `EngineError` if there is another."""
    place = urlsplit(url)
    entry = Entry(
        id=identify(settings),
        model=settings.name,
        version=shardline.__version__,
        pid=os.getpid(),
        host=place.hostname or "",
        port=place.port or 0,
        key=key,
    )
    try:
        with _usable_folder():
            lock = running(entry.id).acquire(timeout=LOOK_SECONDS)
        with lock:
            with _usable_folder():
                write_private(_file(entry.id), json.dumps(asdict(entry)))
            yield entry
            _file(entry.id).unlink(missing_ok=True)
    except Timeout:
        raise EngineError(f"An engine for {settings.name} runs already.") from None


def running(id: str) -> FileLock:  # noqa: A002  as in `find`
    """Return the lock that the engine of this id holds; the system frees it however the process ends."""
    return FileLock(_folder() / f"{id}.running")


@contextlib.contextmanager
def starting(id: str) -> Iterator[None]:  # noqa: A002  as in `find`
    """Hold the lock for starting an engine of this id; raises `Timeout` if another process does."""
    with _usable_folder():
        lock = FileLock(_folder() / f"{id}.lock").acquire(blocking=False)
    with lock:
        with _usable_folder():
            write_private(_starter(id), str(os.getpid()))
        yield
        _starter(id).unlink(missing_ok=True)


def who_starts(id: str) -> str:  # noqa: A002  as in `find`
    """Return a phrase that names the process that starts an engine of this id, and the file it has locked."""
    try:
        process = f"process {_starter(id).read_text(encoding='utf-8')}"
    except OSError:
        process = "an unknown process"
    return f"{process}, which has locked {_folder() / id}.lock"


@contextlib.contextmanager
def log_of(id: str) -> Iterator[int]:  # noqa: A002  as in `find`
    """Open the log that an engine of this id appends its standard error to, or the null device if that fails.

    A log longer than `MAX_LOG_BYTES` is moved to a file beside it.
    """
    file = log_file(id)
    try:
        make_folders(file.parent)
        old = ""
        if file.exists() and file.stat().st_size > MAX_LOG_BYTES:
            old = f" Earlier lines are in {file.replace(file.with_suffix('.log.1'))}."
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with contextlib.suppress(OSError):
            os.write(descriptor, f"{time.strftime('%F %T')} An engine starts.{old}\n".encode())
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)  # an engine without a log is better than none
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def log_file(id: str) -> Path:  # noqa: A002  as in `find`
    """Return the log file of the engines of this id."""
    return user_log_path("shardline", appauthor=False) / f"engine-{id}.log"


def _file(id: str) -> Path:  # noqa: A002  as in `find`
    return _folder() / f"{id}.json"


def _starter(id: str) -> Path:  # noqa: A002  as in `find`
    return _folder() / f"{id}.starter"


def _folder() -> Path:
    """Return the folder of the registry, which only this user may write to; raises `EngineError`."""
    with _usable_folder():
        folder = runtime_folder() / "engines"
        folder.mkdir(mode=0o700, exist_ok=True)
        check_private(folder)
    return folder


@contextlib.contextmanager
def _usable_folder() -> Iterator[None]:
    """Raise an `OSError` of the folder as an `EngineError`."""
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        raise EngineError(
            f"The user's runtime folder cannot be used ({what}); set XDG_RUNTIME_DIR, or engine.mode to inprocess."
        ) from error
