"""Settings as a table, as Markdown or as a JSON schema."""

import json
import typing
from typing import Any, Literal

from rich.table import Table

from shardline.console import Console
from shardline.settings import SettingInfo, Settings, all_settings, as_values

Schema = dict[str, Any]


def settings(values: Settings, *, json_schema: bool, markdown: bool) -> None:
    """Print the settings, with `values`, or as a schema or table of the defaults."""
    console = Console()
    if json_schema:
        print(json.dumps(schema(), indent=2, ensure_ascii=False))  # noqa: T201
    elif markdown:
        print(markdown_table())  # noqa: T201
    else:
        table = Table("Setting", "Value", "Meaning")
        held = as_values(values)
        for info in all_settings():
            section, _, name = info.name.partition(".")
            table.add_row(info.name, json.dumps(held[section][name]), info.sentence)
        console.print(table)


def schema() -> Schema:
    """Return the settings as JSON schema (draft 2020-12), keyed as an editor's settings file has them."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Shardline",
        "type": "object",
        "properties": {f"shardline.{info.name}": _property(info) for info in all_settings()},
    }


def restricted() -> list[str]:
    """Return the settings that VS Code takes from no folder that the user does not trust."""
    return [f"shardline.{info.name}" for info in all_settings() if info.trusted]


def markdown_table() -> str:
    """Return the settings as a Markdown table."""
    rows = ["| Setting | Default | Meaning |", "|---|---|---|"]
    rows += [f"| `{info.name}` | `{json.dumps(info.default)}` | {info.sentence} |" for info in all_settings()]
    return "\n".join(rows)


def _property(info: SettingInfo) -> Schema:
    return {
        **_type(info.type),
        **dict(info.limits),
        "default": list(info.default) if isinstance(info.default, tuple) else info.default,
        "description": info.sentence,
        "scope": info.scope,
    }


def _type(kind: Any) -> Schema:
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return {"type": "string", "enum": list(members)}
    if origin is tuple:
        return {"type": "array", "items": {"type": "string", "minLength": 1}}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(members[1])}
    if members:
        parts = [_type(member) for member in members]
        merged = {key: value for part in parts for key, value in part.items() if key != "type"}
        return {"type": [part["type"] for part in parts], **merged}
    names = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    return {"type": names[kind]}
