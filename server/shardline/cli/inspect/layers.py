"""Modules of a model with their sizes and devices."""

import json
from typing import TYPE_CHECKING

from rich.table import Table

from shardline.console import Console
from shardline.engine.plan import in_words
from shardline.setting_values import Device
from shardline.settings import Settings

if TYPE_CHECKING:
    from shardline.engine.placement.device_map import Module


def layers(settings: Settings, *, depth: int | None, as_json: bool) -> None:
    """Print the modules down to `depth`, all of them where it is None."""
    from shardline.engine.checkpoints import checkpoint
    from shardline.engine.placement import planner

    source = checkpoint.find(settings.model, lambda _: None, weights=False)
    modules = planner.modules(settings.model, source, depth=depth)
    if as_json:
        print(json.dumps(modules, indent=2))  # noqa: T201
    else:
        Console().print(_table(modules))


def _table(modules: "list[Module]") -> Table:
    table = Table("Module", "Type", "Parameters", "Bytes", "Device")
    for column in table.columns[2:4]:
        column.justify = "right"
    for module in modules:
        level = module["name"].count(".") if module["name"] else 0
        table.add_row(
            "  " * level + (module["name"] or "(the whole model)"),
            module["type"],
            f"{module['parameters']:,}",
            in_words(module["bytes"]),
            _devices(module["device"]),
        )
    return table


def _devices(device: Device | list[Device | None] | None) -> str:
    """Name one device, several, or none for a module that the plan does not name."""
    devices = device if isinstance(device, list) else [device]
    return ", ".join("" if one is None else str(one) for one in devices)
