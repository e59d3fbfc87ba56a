"""Room for a model beside a loaded one that it will replace."""

import dataclasses

from shardline.engine.placement import devices
from shardline.engine.plan import Plan, in_words
from shardline.errors import NoRoomError
from shardline.settings import ModelSettings


def as_if_alone(settings: ModelSettings, other: Plan) -> ModelSettings:
    """Return the settings that place a model as if the model of the plan `other` had gone."""
    if settings.max_memory is not None:
        return settings
    held = {share.device: share.used for share in other.devices}
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
