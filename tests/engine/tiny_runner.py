"""Runner of a tiny model."""

import threading
from pathlib import Path

from shardline.engine import Chunk, Request
from shardline.engine.local.opener import open_runner
from shardline.engine.local.runner import Runner
from tests.parsed import model_settings

CODE = "def add(a, b):\n    return a + b\n\n\nfor index, name in enumerate(names):\n"


def open_tiny(folder: Path, **changes: object) -> Runner:
    return open_runner(model_settings(name=str(folder), context_tokens=512, **changes), lambda _: None)


def chunks(runner: Runner, prefix: str, **options: object) -> list[Chunk]:
    request = Request(document="d", prefix=prefix, **{"max_tokens": 24, **options})  # type: ignore[arg-type]
    return list(runner.complete(request, threading.Event()))


def text(runner: Runner, prefix: str, **options: object) -> str:
    return "".join(chunk.text for chunk in chunks(runner, prefix, **options))
