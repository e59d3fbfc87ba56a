"""Flags that commands share, and the settings they add up to."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from shardline import settings
from shardline.errors import SettingsError
from shardline.model_path import beside, model_path
from shardline.settings import ModelSettings, Settings


def _sentence(name: str) -> str:
    """Return the sentence of a setting of the model."""
    sentence: str = ModelSettings.__dataclass_fields__[name].metadata["sentence"]
    return sentence


Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help=_sentence("name"))]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="A TOML file with any of the settings.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, for example generation.maxTokens=32."),
]
Dtype = Annotated[str | None, typer.Option("--dtype", metavar="TYPE", help=_sentence("dtype"))]
DeviceMap = Annotated[str | None, typer.Option("--device-map", metavar="MAP", help=_sentence("device_map"))]
MaxMemory = Annotated[
    str | None,
    typer.Option("--max-memory", metavar="0=10GiB,cpu=30GiB", help=_sentence("max_memory")),
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures to a JSON file.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the figures as a PNG.")]
ContextTokens = Annotated[int | None, typer.Option("--context-tokens", metavar="N", help=_sentence("context_tokens"))]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]


def read(
    model: str | None,
    config: Path | None,
    assignments: list[str] | None,
    *,
    dtype: str | None = None,
    device_map: str | None = None,
    max_memory: str | None = None,
    context_tokens: int | None = None,
    infilling: str | None = None,
) -> Settings:
    """Add up defaults, `--config`, `--set` and the flags, each over the one before; raises `SettingsError`."""
    result = Settings()
    if config is not None:
        result = settings.read_file(config, result)
    for assignment in assignments or []:
        result = settings.merge_strictly(result, settings.assignment(assignment), "--set")
    flags: dict[str, Any] = {
        "name": model,
        "dtype": dtype,
        "deviceMap": _pairs(device_map, "--device-map") if device_map and set("={") & set(device_map) else device_map,
        "maxMemory": _pairs(max_memory, "--max-memory"),
        "contextTokens": context_tokens,
    }
    given = {"model": flags, "completion": {"infilling": infilling}}
    result = settings.merge_strictly(result, given, "On the command line")
    return replace(result, model=_from_here(result.model))


def refuse_before(command: str, given: Mapping[str, Any]) -> None:
    """Raise `SettingsError` for options in front of a command, which would be those of the language server."""
    if options := [name for name, value in given.items() if value]:
        raise SettingsError(
            f"{' and '.join(options)} in front of {command} would be for the language server. Write options of "
            f"{command} behind it; `shardline {command} --help` lists them."
        )


def _from_here(model: ModelSettings) -> ModelSettings:
    """Make relative paths absolute: a child that reads them works in another folder."""
    offload = model.offload_folder and _absolute(model.offload_folder)
    return replace(model, name=_named(model.name), draft=_named(model.draft), offload_folder=offload)


def _named(name: str) -> str:
    """Return a model's name, absolute where it is a path; `….gguf` may be a file in the working directory."""
    return str(model_path(name) or beside(name))


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111  never raise


def _pairs(text: str | None, flag: str) -> Any:
    """Read a map: JSON, or `0=10GiB,cpu=30GiB`; raises `SettingsError`."""
    if text is None:
        return None
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise SettingsError(f"{flag}: {text} is not valid JSON ({error}).") from error
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not pairs or not all(key.strip() and value.strip() for key, _, value in pairs):
        raise SettingsError(f"{flag}: write for example {flag} 0=10GiB,cpu=30GiB, not {text!r}.")
    return {key.strip(): value.strip() for key, _, value in pairs}
