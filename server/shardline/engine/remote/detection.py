"""What a server is, which model it has and how much that may look at: found out by asking."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shardline.engine.remote.dialect import count_of
from shardline.engine.remote.http_client import Connection
from shardline.errors import CheckpointError, RemoteRefusedError
from shardline.settings import RemoteSettings

Kind = Literal["shardline", "vllm", "llama.cpp", "openai", "ollama", "sglang"]

OWNERS: Mapping[str, Kind] = {
    "shardline": "shardline",
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama.cpp",
    "library": "ollama",
}
"""Whom the servers say that their models are owned by."""

NO_SUFFIX = ("me",)
"""Owners whose servers take a suffix and then show the model something else: llama-cpp-python does so."""

SIGNS: Mapping[Kind, tuple[tuple[str, str], ...]] = {
    "llama.cpp": (("/props", "default_generation_settings"),),
    "sglang": (("/get_server_info", "model_path"), ("/server_info", "model_path")),
    "ollama": (("/api/version", "version"),),
    "vllm": (("/version", "version"),),
}
"""Where it says something of itself, and what it says there, for a server whose models have another owner."""

MOST_NAMES = 8
LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Served:
    """The model that will complete: how the server calls it, and how many tokens it may look at, where that is told.

    `takes_suffix` is whether a server that makes its own prompts may be sent what follows the cursor.
    """

    kind: Kind
    model: str
    context_tokens: int | None
    takes_suffix: bool


async def recognize(connection: Connection, settings: RemoteSettings) -> Served:
    """Ask what the server is, unless that is set, and find the model; raises `EngineError`."""
    listed = (await connection.find("/v1/models")).get("data")
    models = [model for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []
    kind = await _kind(connection, models) if settings.kind == "auto" else settings.kind
    model = _choose(models, settings.model, connection.root)
    meta = model.get("meta") or {}
    context = count_of(model.get("max_model_len")) or count_of(meta.get("n_ctx"))
    return Served(
        kind=kind,
        model=settings.model or str(model.get("id") or ""),
        context_tokens=context,
        takes_suffix=model.get("owned_by") not in NO_SUFFIX and meta.get("infills") is not False,
    )


async def infills(connection: Connection, served: Served) -> bool:
    """Whether a server that makes its own prompts can show the model there what follows the cursor."""
    if served.kind == "ollama":
        shown = await connection.post("/api/show", {"model": served.model})
        capabilities = shown.get("capabilities")
        return isinstance(capabilities, list) and "insert" in capabilities
    try:
        await connection.post("/infill", {"input_prefix": "a", "input_suffix": "b", "n_predict": 1})
    except RemoteRefusedError:
        return False
    return True


async def _kind(connection: Connection, models: list[dict[str, Any]]) -> Kind:
    owner = models[0].get("owned_by") if models else None
    if isinstance(owner, str) and owner in OWNERS:
        return OWNERS[owner]
    for kind, signs in SIGNS.items():
        for path, key in signs:
            if key in await connection.find(path):
                return kind
    return "openai"


def _choose(models: list[dict[str, Any]], wish: str, root: str) -> dict[str, Any]:
    """The model that was asked for, or the only one; raises `CheckpointError` naming what there is."""
    names = [str(model.get("id"))[:LONGEST_NAME] for model in models]
    there = ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
    if not wish and len(models) == 1:
        return models[0]
    if not wish:
        has = f"has several models: {there}; name one" if models else "does not say which models it has; name one"
        raise CheckpointError(f"remote.model: the server at {root} {has}.")
    chosen = next((model for model in models if _is(model, wish)), None)
    if chosen is None and models and len(models) <= MOST_NAMES:
        raise CheckpointError(f"remote.model: the server at {root} has no {wish}; it has {there}.")
    return chosen or {}


def _is(model: Mapping[str, Any], wish: str) -> bool:
    """Whether a model is called so; Ollama's names may go without `:latest`."""
    return model.get("id") in (wish, f"{wish}:latest")
