"""Placement of the draft model: whole, on one device with room."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from shardline.engine import Report
from shardline.engine.checkpoints import checkpoint
from shardline.engine.checkpoints.checkpoint import Checkpoint
from shardline.engine.placement import device_map, planner
from shardline.engine.placement.planner import Planned
from shardline.engine.plan import DeviceShare, Plan, in_words
from shardline.errors import EngineError, SettingsError
from shardline.settings import ModelSettings


def with_draft(planned: Planned, settings: ModelSettings, report: Report, *, weights: bool = True) -> Planned:
    """Add `model.draft` to a plan that fits, if there is one; a plan that has no room for it fits no more.

    Without `weights` only its config and tokenizer are fetched. Raises `CheckpointError` where it cannot be had, and
    `SettingsError` where its tokens are others.
    """
    if not settings.draft or not planned.plan.fits:
        return planned
    tokens = planned.source.tokenizer().get_vocab()
    draft_settings = dataclasses.replace(settings, name=settings.draft, revision=None, draft="", offload_folder=None)
    with naming_the_draft():
        source = checkpoint.find(draft_settings, report, weights=weights)
        if source.tokenizer().get_vocab() != tokens:
            raise SettingsError(
                f"model.draft: {settings.draft} has other tokens than {settings.name}, so it cannot guess what that "
                "will write; choose a small model of the same family, or leave model.draft empty."
            )
        return _place(planned, draft_settings, source)


@contextmanager
def naming_the_draft() -> Iterator[None]:
    """Name `model.draft` in errors about a model's name."""
    try:
        yield
    except (EngineError, SettingsError) as error:
        raise type(error)(str(error).replace("model.name", "model.draft")) from error


def _place(planned: Planned, draft_settings: ModelSettings, source: Checkpoint) -> Planned:
    plan = planned.plan
    left = {share.device: share.limit - share.used for share in plan.devices if share.limit is not None}
    limits = {device: limit for device, limit in device_map.limits_of(draft_settings).items() if device != "disk"}
    rooms = {device: max(0, left.get(device, limit)) for device, limit in limits.items()}
    needed = 0
    for device in sorted(rooms, key=lambda device: device not in left):  # those of the model first
        there = dataclasses.replace(draft_settings, device_map=device, max_memory={device: rooms[device]})
        drafted = planner.make(there, source)
        (share,) = drafted.plan.devices
        if drafted.plan.fits:
            shares = _with_share(plan, share, limits[device])
            warnings = tuple(dict.fromkeys([*plan.warnings, *drafted.plan.warnings]))
            plan = dataclasses.replace(plan, devices=shares, warnings=warnings, draft=drafted.plan)
            return dataclasses.replace(planned, plan=plan, draft=drafted)
        needed = share.used
    roomiest = max(rooms, key=lambda device: rooms[device])
    refusal = (
        f"model.draft: {draft_settings.name} does not fit beside {plan.model}: it needs {in_words(needed)} on one "
        f"device, and the most that is left is {in_words(rooms[roomiest])}, on {roomiest}. What would help: raise "
        "model.maxMemory; lower model.contextTokens; choose a smaller model.draft, or leave it empty."
    )
    return dataclasses.replace(planned, plan=dataclasses.replace(plan, refusal=refusal))


def _with_share(plan: Plan, draft: DeviceShare, limit: int) -> tuple[DeviceShare, ...]:
    """Return the plan's devices, with the draft model on its device."""
    if draft.device not in [share.device for share in plan.devices]:
        alone = dataclasses.replace(draft, limit=limit, weights=0, kv_cache=0, workspace=0, layers=0, draft=draft.used)
        return (*plan.devices, alone)
    return tuple(
        dataclasses.replace(share, draft=draft.used) if share.device == draft.device else share
        for share in plan.devices
    )
