"""Detection of a server's kind, its model and the context size."""

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
"""The servers by the `owned_by` of their models."""

NO_SUFFIX = ("me",)
"""Owners whose servers accept a suffix and build a wrong prompt from it, as llama-cpp-python does."""

SIGNS: Mapping[Kind, tuple[tuple[str, str], ...]] = {
    "llama.cpp": (("/props", "default_generation_settings"),),
    "sglang": (("/get_server_info", "model_path"), ("/server_info", "model_path")),
    "ollama": (("/api/version", "version"),),
    "vllm": (("/version", "version"),),
}
"""Paths and a key in the answer that identify a server whose models have another owner."""

MAX_NAMES = 8
MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Served:
    """The model of a server: its name there, and its context size if the server reports one.

    `takes_suffix` is whether a server that builds its own prompts may be sent the suffix.
    """

    kind: Kind
    model: str
    context_tokens: int | None
    takes_suffix: bool


async def recognize(connection: Connection, settings: RemoteSettings) -> Served:
    """Detect the kind of server, unless it is set, and the model; raises `EngineError`."""
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
    """Return whether the model supports infilling on a server that builds its own prompts."""
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


def _choose(models: list[dict[str, Any]], wanted: str, root: str) -> dict[str, Any]:
    """Return the `wanted` model, or the only one; raises `CheckpointError`, which names the available ones."""
    names = [str(model.get("id"))[:MAX_NAME_CHARACTERS] for model in models]
    available = ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")
    if not wanted and len(models) == 1:
        return models[0]
    if not wanted:
        has = f"has several models: {available}; name one" if models else "does not say which models it has; name one"
        raise CheckpointError(f"remote.model: the server at {root} {has}.")
    chosen = next((model for model in models if _has_name(model, wanted)), None)
    if chosen is None and models and len(models) <= MAX_NAMES:
        raise CheckpointError(f"remote.model: the server at {root} has no {wanted}; it has {available}.")
    return chosen or {}


def _has_name(model: Mapping[str, Any], name: str) -> bool:
    """Return whether a model has this name; Ollama's may omit `:latest`."""
    return model.get("id") in (name, f"{name}:latest")
