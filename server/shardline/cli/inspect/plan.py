"""Picture of a plan: devices with layers, KV cache and workspace."""

import itertools
import json
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shardline.console import Console
from shardline.engine.plan import DeviceShare, Plan, in_words
from shardline.settings import Settings

DOES_NOT_FIT = 3
"""The exit code that says so."""

BAR_WIDTH = 32
PARTS = (("weights", "█", "cyan"), ("kv_cache", "▓", "magenta"), ("workspace", "▒", "yellow"), ("draft", "▚", "blue"))
LEGEND = {"kv_cache": "KV cache", "draft": "draft model"}
FREE = ("free", "░", "bright_black")


def plan(settings: Settings, *, as_json: bool) -> int:
    """Print the plan for these settings; returns the exit code."""
    from shardline.engine.checkpoints import checkpoint
    from shardline.engine.placement import draft_placement, planner

    source = checkpoint.find(settings.model, lambda _: None, weights=False)
    planned = planner.make(settings.model, source)
    planned = draft_placement.with_draft(planned, settings.model, lambda _: None, weights=False)
    made = planned.plan
    if as_json:
        print(json.dumps(made.as_json(), indent=2))  # noqa: T201
    else:
        console = Console()
        draft = f", draft model {made.draft.model}" if made.draft else ""
        title = f"{made.model} in {made.dtype}, context of {planned.context_tokens} tokens{draft}"
        console.print(Text(title, style="bold"))
        console.print(picture(made))
    return 0 if made.fits else DOES_NOT_FIT


def picture(plan: Plan) -> RenderableType:
    """Draw a plan: a bar for each device, drawn to one scale."""
    grid = Table.grid(padding=(0, 2))
    scale = max(share.limit or share.used for share in plan.devices)
    for share in plan.devices:
        grid.add_row(
            Text(_device(share.device, fits=plan.fits), style="bold"),
            Text(_modules(plan.device_map, share)),
            _bar(share, scale),
            _room(share),
        )
    legend = Text()
    shown = [part for part in PARTS if part[0] != "draft" or plan.draft]
    for name, character, style in (*shown, FREE):
        legend.append(f"{character} ", style=style).append(f"{LEGEND.get(name, name)}   ", style="dim")
    parts: list[RenderableType] = [grid, legend]
    parts += [Text(f"! {line}", style="yellow") for line in plan.warnings]
    if plan.refusal:
        parts.append(Text(f"✗ {plan.refusal}", style="red"))
    return Group(*parts)


def _modules(device_map: Mapping[str, int | str], share: DeviceShare) -> str:
    """Return the modules on a device, as the map names them: `embed_tokens, layers 0–10`."""
    here = [name for name, device in device_map.items() if device == share.device]
    numbers = [int(last) for name in here if (last := name.rpartition(".")[2]).isdecimal()]
    runs = [
        [number for _, number in run]
        for _, run in itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    ]
    spans = ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    if spans:
        return f"layer{'s' if len(numbers) > 1 else ''} {spans}"
    return f"{share.layers} layers" if share.layers else ", ".join(name.rpartition(".")[2] for name in here)


def _device(device: int | str, *, fits: bool) -> str:
    if device == "disk" and not fits:
        return "no room for"
    return f"GPU {device}" if isinstance(device, int) else device


def _bar(share: DeviceShare, scale: int) -> Text:
    """Characters in proportion to bytes; whatever is there at all gets at least one."""
    bar = Text()
    for name, character, style in PARTS:
        if size := getattr(share, name):
            bar.append(character * max(1, round(BAR_WIDTH * size / scale)), style=style)
    if share.limit is not None:
        room = round(BAR_WIDTH * share.limit / scale) - len(bar)
        bar.append(FREE[1] * max(0, room), style=FREE[2])
    return bar


def _room(share: DeviceShare) -> Text:
    if share.limit is None:
        return Text(in_words(share.used))
    free = share.limit - share.used
    text = Text(f"{in_words(share.used)} of {in_words(share.limit)}")
    return text if free >= 0 else text.append(f", {in_words(-free)} too much", style="bold red")
