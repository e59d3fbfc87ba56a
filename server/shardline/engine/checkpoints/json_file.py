"""JSON files of a model, from anybody."""

import json
from pathlib import Path
from typing import Any

from shardline.errors import CheckpointError, first_line

MAX_BYTES = 64 * 2**20
"""Longer than any config or index; a longer file would only fill the memory."""


def read_object(file: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object; raises `CheckpointError`."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise _damaged(file, f"it has more than {MAX_BYTES} bytes")
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(file, first_line(error)) from error
    if not isinstance(values, dict):
        raise _damaged(file, "it is no JSON object")
    return values


def _damaged(file: Path, why: str) -> CheckpointError:
    return CheckpointError(f"model.name: {file} is damaged ({why}); fetch the model again.")
