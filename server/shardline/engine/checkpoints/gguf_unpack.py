"""GGUF files, unpacked once into a folder of the cache.

The folder lies in the user's cache and is named after the file, its size and its age; it appears there whole
or not at all.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from shardline.engine import Report
from shardline.engine.checkpoints import manifest
from shardline.errors import CheckpointError, EngineError, first_line

MAX_STEM = 40
"""Characters of a file's name that its folder is named by, so that no name there is too long for a disk."""

PROBE_BYTES = 2**20


def unpack(file: Path, cache: Path, report: Report, *, weights: bool = True) -> Path:
    """Return a folder with the config and tokenizer of `file` and, unless `weights` is False, its weights.

    A folder that was damaged since is made again.
    """
    folder = cache / "unpacked" / f"{file.stem[:MAX_STEM]}-{_key(file)}"
    outline = folder.with_name(f"{folder.name}-config")  # config and tokenizer only
    target = folder if weights else outline
    if manifest.is_whole(target):
        return target
    with kept_in(cache):
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"), _appearing_whole(target) as partial:
            if partial is not None:
                _write(file, partial, report, weights=weights)
                manifest.write(partial)
    return target


@contextmanager
def kept_in(cache: Path) -> Iterator[None]:
    """Raise what the disk refuses inside as a `CheckpointError` that names the folder."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"model.name: the model cannot be kept in {cache} ({error.strerror or first_line(error)}); free space "
            "there and make it writable, or set XDG_CACHE_HOME to another folder."
        ) from error


def _write(file: Path, folder: Path, report: Report, *, weights: bool) -> None:
    """Write what `file` holds; raises `CheckpointError` where it is damaged, and `OSError` where the disk refuses."""
    try:
        from shardline.engine.checkpoints import gguf_convert  # lazy: imports torch

        config = gguf_convert.write_outline(file, folder)
        if weights:
            gguf_convert.write_weights(file, config, folder, report)
    except EngineError:
        raise
    except Exception as error:
        # The libraries have errors of their own for a full disk: whether it is one is found by writing.
        (folder / "probe").write_bytes(bytes(PROBE_BYTES))
        raise CheckpointError(
            f"model.name: {file} cannot be read as a GGUF model ({type(error).__name__}: {first_line(error)})."
        ) from error


def _key(file: Path) -> str:
    stat = file.stat()
    return hashlib.sha256(os.fsencode(file.resolve()) + f":{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:12]


@contextmanager
def _appearing_whole(target: Path) -> Iterator[Path | None]:
    """Hand out a folder to write into, renamed to `target` at the end; None where another process was faster."""
    if manifest.is_whole(target):
        yield None
        return
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield partial
        shutil.rmtree(target, ignore_errors=True)  # a damaged one
        os.replace(partial, target)  # noqa: PTH105  atomic, unlike Path.rename on every system
    finally:
        shutil.rmtree(partial, ignore_errors=True)
