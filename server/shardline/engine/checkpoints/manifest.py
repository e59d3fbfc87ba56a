"""Manifest of a cache folder, which reveals later damage."""

import hashlib
import json
from pathlib import Path

from shardline.engine.checkpoints.json_file import read_object
from shardline.errors import CheckpointError

STORED_BITS = "stored_bits.json"
"""Which weights of the file stay packed, and in how many bits: reading it from the file takes seconds."""

NAME = "manifest.json"
MAX_HASHED = 64 * 2**20
"""Larger files are known by their size alone: reading them would take as long as loading them."""


def write(folder: Path) -> None:
    """Write down the files of `folder`; raises `OSError`."""
    files = {file.name: _state(file) for file in sorted(folder.iterdir())}
    (folder / NAME).write_text(json.dumps(files), encoding="utf-8")


def is_whole(folder: Path) -> bool:
    """Return whether all files of `folder` are as they were written; others may have come since."""
    try:
        files = read_object(folder / NAME)
        return all(_state(folder / name) == state for name, state in files.items())
    except (CheckpointError, OSError, ValueError):
        return False


def _state(file: Path) -> list[str]:
    """Return the size and the SHA-256 of a file, or its size alone."""
    size = file.stat().st_size
    if size > MAX_HASHED:
        return [str(size)]
    with file.open("rb") as opened:
        return [str(size), hashlib.file_digest(opened, "sha256").hexdigest()]
