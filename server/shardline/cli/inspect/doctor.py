"""Checks of an installation; each reports its finding and the remedy."""

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.table import Table
from rich.text import Text

from shardline import __version__
from shardline.console import Console
from shardline.engine.plan import in_words
from shardline.errors import ShardlineError
from shardline.folders import cache_folder
from shardline.settings import EMBEDDED_MODEL, Settings

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "pygls",
    "lsprotocol",
)


@dataclass(frozen=True)
class Finding:
    """Finding of one check, with `advice` where something is to be done."""

    subject: str
    found: str
    advice: str = ""
    wrong: bool = False


def doctor(settings: Settings) -> int:
    """Print all findings; returns the exit code, 1 where completions cannot work."""
    table = Table("", "Subject", "Found", "What to do", show_lines=False)
    wrong = False
    runs_here = not settings.is_remote or settings.remote.fallback == "local"
    here = (_devices, _compiler, _folders, _hub, _model) if runs_here else ()
    for check in (_versions, _remote, *here):
        for finding in check(settings):
            wrong |= finding.wrong
            mark = Text("✗", "red") if finding.wrong else Text("!", "yellow") if finding.advice else Text("✓", "green")
            table.add_row(mark, finding.subject, finding.found, finding.advice)
    Console().print(table)
    return int(wrong)


def _versions(_: Settings) -> Iterator[Finding]:
    yield Finding("Shardline", f"{__version__}, Python {platform.python_version()} at {sys.executable}")
    yield Finding("Packages", ", ".join(f"{name} {version(name)}" for name in PACKAGES))


def _remote(settings: Settings) -> Iterator[Finding]:
    if not settings.is_remote:
        return
    from shardline.engine.remote.detection import Served, recognize
    from shardline.engine.remote.http_client import Connection

    async def ask() -> Served:
        connection = Connection(settings.remote)
        try:
            return await recognize(connection, settings.remote)
        finally:
            await connection.close()

    try:
        served = asyncio.run(ask())
    except ShardlineError as error:
        yield Finding("Remote", settings.remote.base_url, str(error), wrong=settings.remote.fallback == "none")
    else:
        context = f", {served.context_tokens} tokens of context" if served.context_tokens else ""
        yield Finding("Remote", f"{settings.remote.base_url}: {served.kind} with {served.model}{context}")


def _devices(_: Settings) -> Iterator[Finding]:
    import torch

    from shardline.engine.placement import devices

    for device, free in devices.free_memory().items():
        if isinstance(device, int):
            name = torch.cuda.get_device_name(device)
            yield Finding(f"GPU {device}", f"{name}, {in_words(free)} free")
        else:
            cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
            yield Finding(device, f"{platform.machine()}, {cores}, {in_words(free)} of memory free")
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        build = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built for the CPU"
        advice = (
            "With an NVIDIA card, check its driver with nvidia-smi"
            if torch.version.cuda
            else ("With a GPU, install the torch that matches it (pytorch.org)")
        )
        yield Finding("GPU", f"none; {build}", advice)


def _compiler(_: Settings) -> Iterator[Finding]:
    from shardline.engine.models.llama.native import build

    if not build.supported():
        return
    if build.library().exists():
        yield Finding("Compiled step", f"ready at {build.library()}")
    else:
        compiler = build.compiler()
        advice = "" if compiler else "Install g++: on the CPU, suggestions then take about half the time"
        yield Finding("Compiled step", f"will be made by {compiler}" if compiler else "no C++ compiler", advice)


def _folders(settings: Settings) -> Iterator[Finding]:

    cache = cache_folder()
    existing = _nearest_existing(cache)
    free = shutil.disk_usage(existing).free
    writable = os.access(existing, os.W_OK)
    yield Finding(
        "Cache folder",
        f"{cache}, {in_words(free)} free on its disk",
        "" if writable else f"Make {existing} writable, or set XDG_CACHE_HOME",
        wrong=not writable,
    )
    offload = settings.model.offload_folder
    if offload is not None:
        writable = os.access(_nearest_existing(Path(offload).expanduser().absolute()), os.W_OK)
        advice = "" if writable else "Choose a folder that can be written for model.offloadFolder"
        yield Finding("Offload folder", offload, advice, wrong=not writable)


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _hub(settings: Settings) -> Iterator[Finding]:
    from shardline.engine.checkpoints import hub

    if hub.reachable():
        yield Finding("Hugging Face hub", "reachable")
    else:
        need = "" if settings.model.name == EMBEDDED_MODEL else "; other models must be folders or already fetched"
        yield Finding("Hugging Face hub", "not reachable", f"The embedded model needs no hub{need}")


def _model(settings: Settings) -> Iterator[Finding]:
    from shardline.engine.checkpoints import checkpoint
    from shardline.engine.placement import devices, draft_placement, planner

    name = settings.model.name
    try:
        present = checkpoint.is_present(settings.model)
        source = checkpoint.find(settings.model, lambda _: None, weights=False)
        planned = planner.make(settings.model, source)
        planned = draft_placement.with_draft(planned, settings.model, lambda _: None, weights=False)
        plan = planned.plan
        if plan.fits:
            devices.check_present([share.device for share in plan.devices])
    except ShardlineError as error:
        yield Finding("Model", name, str(error), wrong=True)
        return
    yield Finding(
        "Model",
        f"{name}, {'on this machine' if present else 'not fetched yet'}",
        "" if present else "It is fetched when the server or `shardline demo` starts",
    )
    places = ", ".join(f"{share.layers} layers on {share.device}" for share in plan.devices)
    yield Finding(
        "Placement",
        f"{plan.dtype}, {planned.context_tokens} tokens of context: {places}",
        plan.refusal or " ".join(plan.warnings),
        wrong=not plan.fits,
    )
