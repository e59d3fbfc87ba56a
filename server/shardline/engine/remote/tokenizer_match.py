"""Search for the tokenizer of a remote model."""

import asyncio
import re
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from shardline.engine import Report
from shardline.engine.checkpoints import checkpoint
from shardline.engine.remote.detection import Served
from shardline.engine.remote.http_client import Connection
from shardline.engine.tokenization.tokenizer import Codec
from shardline.errors import EngineError
from shardline.model_path import is_there, model_path
from shardline.settings import EMBEDDED_MODEL, RemoteSettings, Settings

PROBE = "def naïve(a, b):\n    # 4 € 🙂\n\treturn {a!r: <8} if a>=b else [-1.5e3]\n"
"""A text that different tokenizers split differently."""

ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")


async def find_codec(
    connection: Connection, served: Served, settings: Settings, report: Report, thread: Executor
) -> Codec | None:
    """Return the codec of the served model if one of its names leads to it and it splits `PROBE` as the server does.

    It is downloaded and read in `thread`.
    """
    expected = await _ids_of_probe(connection, served)
    for name in _names(served, settings.remote, settings) if expected else ():
        try:
            codec = await asyncio.get_running_loop().run_in_executor(thread, _open, name, settings, report)
        except EngineError:
            continue
        if codec.encode(PROBE).ids == expected:
            return codec
    return None


def _names(served: Served, remote: RemoteSettings, settings: Settings) -> list[str]:
    """Return the names that may lead to the tokenizer, the likeliest first.

    A server may name a model on the hub but no path here. The embedded model is not downloaded just to compare it.
    """
    names = [name for name in (remote.model, served.model) if ON_THE_HUB.fullmatch(name) and not model_path(name)]
    if (path := model_path(remote.model)) and is_there(path):
        names.insert(0, str(path))
    if settings.model.name != EMBEDDED_MODEL or checkpoint.is_present(settings.model):
        names.append(settings.model.name)
    return list(dict.fromkeys(names))


def _open(name: str, settings: Settings, report: Report) -> Codec:
    revision = settings.model.revision if name == settings.model.name else None
    options = replace(settings.model, name=name, revision=revision)
    return Codec.of(checkpoint.find(options, report, weights=False))


async def _ids_of_probe(connection: Connection, served: Served) -> Any:
    """Return the server's token ids of `PROBE`; None if it has no such API."""
    if served.kind == "llama.cpp":
        body = {"content": PROBE, "add_special": False, "parse_special": False}
    elif served.kind in ("vllm", "sglang"):
        body = {"model": served.model, "prompt": PROBE, "add_special_tokens": False}
    else:
        return None
    try:
        return (await connection.post("/tokenize", body)).get("tokens")
    except EngineError:
        return None
