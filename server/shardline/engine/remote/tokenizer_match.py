"""The tokenizer of a server's model, where it can be had here: only by it can prompts be token ids."""

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
"""A text that different tokenizers take apart differently."""

ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")


async def find_codec(
    connection: Connection, served: Served, settings: Settings, report: Report, thread: Executor
) -> Codec | None:
    """The codec of the model that is served, if one of its names leads to it and the server counts tokens like it.

    It is fetched and read in `thread`.
    """
    said = await _ids_of_probe(connection, served)
    for name in _names(served, settings.remote, settings) if said else ():
        try:
            codec = await asyncio.get_running_loop().run_in_executor(thread, _open, name, settings, report)
        except EngineError:
            continue
        if codec.encode(PROBE).ids == said:
            return codec
    return None


def _names(served: Served, remote: RemoteSettings, settings: Settings) -> list[str]:
    """Where the tokenizer may be: what the user has named, or what reads like a name on the hub; the likeliest first.

    No path that a server names is opened. The embedded model is not fetched only to be compared.
    """
    names = [name for name in (remote.model, served.model) if ON_THE_HUB.fullmatch(name) and not model_path(name)]
    if (path := model_path(remote.model)) and is_there(path):
        names.insert(0, str(path))
    if settings.model.name != EMBEDDED_MODEL or checkpoint.is_present(settings.model):
        names.append(settings.model.name)
    return list(dict.fromkeys(names))


def _open(name: str, settings: Settings, report: Report) -> Codec:
    revision = settings.model.revision if name == settings.model.name else None
    wish = replace(settings.model, name=name, revision=revision)
    return Codec.of(checkpoint.find(wish, report, weights=False))


async def _ids_of_probe(connection: Connection, served: Served) -> Any:
    """How the server's tokenizer takes the probe apart; None where it does not tell."""
    if served.kind == "llama.cpp":
        asked = {"content": PROBE, "add_special": False, "parse_special": False}
    elif served.kind in ("vllm", "sglang"):
        asked = {"model": served.model, "prompt": PROBE, "add_special_tokens": False}
    else:
        return None
    try:
        return (await connection.post("/tokenize", asked)).get("tokens")
    except EngineError:
        return None
