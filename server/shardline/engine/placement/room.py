"""Room for a model beside a loaded one that it will replace."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from shardline.engine.placement import devices
from shardline.engine.plan import DeviceShare, Plan, in_words
from shardline.errors import NoRoomError
from shardline.settings import ModelSettings


def as_if_alone(settings: ModelSettings, other: Mapping[str, Any]) -> ModelSettings:
    """Return the settings that place a model as if the other one, with this placement, had gone."""
    if settings.max_memory is not None:
        return settings
    held = {share.device: share.used for share in (DeviceShare(**share) for share in other["devices"])}
    limits = {
        device: int((free + held.get(device, 0)) * devices.FREE_SHARE) for device, free in devices.free_memory().items()
    }
    return dataclasses.replace(settings, max_memory=limits)


def check(plan: Plan) -> None:
    """Raise `NoRoomError` unless each device has free now what the plan gives it, whatever `model.maxMemory` allows."""
    free = devices.default_limits()
    for share in plan.devices:
        if share.device != "disk" and share.used > free.get(share.device, 0):
            raise NoRoomError(
                f"{plan.model} needs {in_words(share.used)} on {share.device}, which has no room for that beside the "
                "model that is still loaded."
            )
