"""Devices of this machine and their free memory."""

import gc

import psutil
import torch

from shardline.errors import PlacementError
from shardline.setting_values import Device

FREE_SHARE = 0.9
"""Share of the free memory that a plan may use by default; the rest is for other programs."""


def free_memory() -> dict[Device, int]:
    """Bytes free on each GPU, in their order, and then on the CPU."""
    free: dict[Device, int] = {index: torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        return {"mps": psutil.virtual_memory().available}  # one memory, shared with the CPU
    return {**free, "cpu": psutil.virtual_memory().available}


def give_back() -> None:
    """Return to the devices what nobody holds any more."""
    gc.collect()  # modules and the hooks of accelerate hold each other
    torch.cuda.empty_cache()


def default_limits() -> dict[Device, int]:
    """Return what a plan may use where `model.maxMemory` is not set."""
    return {device: int(free * FREE_SHARE) for device, free in free_memory().items()}


def missing_devices(devices: list[Device]) -> list[Device]:
    """Those of `devices` that this machine does not have."""
    here = {*free_memory(), "cpu", "disk"}
    return [device for device in devices if device not in here]


def not_here(missing: list[Device]) -> str:
    """Return the sentence that names missing devices."""
    names = ", ".join(str(device) for device in missing)
    return (
        f"Device {names} is not on this machine." if len(missing) == 1 else f"Devices {names} are not on this machine."
    )


def check_present(devices: list[Device]) -> None:
    """Raise `PlacementError` if one of `devices` is not there."""
    missing = missing_devices(devices)
    if missing:
        here = ", ".join(str(device) for device in free_memory())
        raise PlacementError(f"{not_here(missing)} It has {here}; change model.deviceMap or model.maxMemory.")
