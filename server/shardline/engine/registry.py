"""The engines of this user that run: a file for each, which only the user may read, in the user's runtime folder."""

import contextlib
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from filelock import AsyncFileLock, FileLock, Timeout
from platformdirs import user_log_path

import shardline
from shardline.errors import EngineError
from shardline.model_path import model_path
from shardline.private_files import runtime_folder, write_private
from shardline.settings import ModelSettings

ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME")
"""What a model may depend on besides its settings."""

LOOK_SECONDS = 1.0
"""How long somebody may look whether an engine runs, at most."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An engine that runs: what it is, where it is, and the key that it has to be asked with."""

    id: str
    model: str
    version: str
    pid: int
    host: str
    port: int
    key: str


def identify(settings: ModelSettings) -> str:
    """The name of the engines that may stand for each other: of one version, one model and one placement."""
    told = {
        "version": shardline.__version__,
        "package": str(Path(shardline.__file__).resolve()),
        "python": sys.executable,
        "settings": asdict(absolute(settings)),
        "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def absolute(settings: ModelSettings) -> ModelSettings:
    """The same settings, wherever a process is that reads them."""
    names = {"name": settings.name, "draft": settings.draft}
    whole = {key: str(path) for key, name in names.items() if (path := model_path(name))}
    if settings.offload_folder is not None:
        whole["offload_folder"] = os.path.abspath(Path(settings.offload_folder).expanduser())  # noqa: PTH100
    return replace(settings, **whole)  # type: ignore[arg-type]


def find(id: str) -> Entry | None:  # noqa: A002  what it is called everywhere
    """The engine of this name, if one runs; what is left of one that does not is removed."""
    file = _file(id)
    try:
        entry = Entry(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        entry = None
    try:
        with running(id).acquire(blocking=False):
            file.unlink(missing_ok=True)
            return None
    except Timeout:
        return entry


def all_entries() -> list[Entry]:
    """All that run."""
    return [entry for file in sorted(_folder().glob("*.json")) if (entry := find(file.stem))]


@contextlib.contextmanager
def registered(settings: ModelSettings, *, url: str, key: str) -> Iterator[Entry]:
    """Tell of the engine in this process, which listens at `url`; raises `EngineError` where there is another."""
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
        with running(entry.id).acquire(timeout=LOOK_SECONDS):
            write_private(_file(entry.id), json.dumps(asdict(entry)))
            yield entry
            _file(entry.id).unlink(missing_ok=True)
    except Timeout:
        raise EngineError(f"An engine for {settings.name} runs already.") from None


def running(id: str) -> FileLock:  # noqa: A002  as in `find`
    """Held by the engine of this name for as long as its process lives, whatever ends it."""
    return FileLock(_folder() / f"{id}.running")


def ended(id: str) -> AsyncFileLock:  # noqa: A002  as in `find`
    """Can be taken as soon as no engine of this name runs."""
    return AsyncFileLock(_folder() / f"{id}.running")


def starting(id: str) -> AsyncFileLock:  # noqa: A002  as in `find`
    """Held by whoever starts an engine of this name, so that there is one."""
    return AsyncFileLock(_folder() / f"{id}.lock")


@contextlib.contextmanager
def log_of(id: str) -> Iterator[int]:  # noqa: A002  as in `find`
    """The file that an engine of this name writes its standard error to, opened anew."""
    file = log_file(id)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def log_file(id: str) -> Path:  # noqa: A002  as in `find`
    """Where the log of the engines of this name is."""
    return user_log_path("shardline", appauthor=False) / f"engine-{id}.log"


def _file(id: str) -> Path:  # noqa: A002  as in `find`
    return _folder() / f"{id}.json"


def _folder() -> Path:
    """The folder, which nobody else may look into: some systems have none of the user's own, but one under /tmp."""
    folder = runtime_folder() / "engines"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise EngineError(
            f"The folder {folder} cannot be made ({error.strerror}); set XDG_RUNTIME_DIR, or engine.mode to inprocess."
        ) from error
    if os.name == "posix" and (
        not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077
    ):
        raise EngineError(f"Others may write to the folder {folder}; remove it, or set engine.mode to inprocess.")
    return folder
