"""A GGUF file, unpacked once into a folder that Hugging Face's own loaders read.

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
from shardline.errors import CheckpointError, first_line

STORED_BITS = "stored_bits.json"
"""Which weights of the file stay packed, and in how many bits: reading it from the file takes seconds."""


def unpack(file: Path, cache: Path, report: Report, *, weights: bool = True) -> Path:
    """Return a folder with the config and tokenizer of `file` and, unless `weights` is False, its weights."""
    folder = cache / "unpacked" / f"{file.stem}-{_key(file)}"
    outline = folder.with_name(f"{folder.name}-config")  # config and tokenizer only
    target = folder if weights else outline
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"), _appearing_whole(target) as partial:
        if partial is not None:
            try:
                from shardline.engine import gguf_folder  # here, because it imports torch

                config = gguf_folder.write_outline(file, partial)
                if weights:
                    gguf_folder.write_weights(file, config, partial, report)
            except CheckpointError:
                raise
            except Exception as error:
                raise CheckpointError(
                    f"model.name: {file} cannot be read as a GGUF model ({type(error).__name__}: {first_line(error)})."
                ) from error
    return target


def _key(file: Path) -> str:
    stat = file.stat()
    return hashlib.sha256(f"{file.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:12]


@contextmanager
def _appearing_whole(target: Path) -> Iterator[Path | None]:
    """Hand out a folder to write into, renamed to `target` at the end; None where another process was faster."""
    if target.exists():
        yield None
        return
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield partial
        os.replace(partial, target)  # noqa: PTH105  atomic, unlike Path.rename on every system
    finally:
        shutil.rmtree(partial, ignore_errors=True)
