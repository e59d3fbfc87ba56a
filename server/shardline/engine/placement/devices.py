"""The devices of this machine, and how much of them is free."""

import gc
from collections.abc import Mapping
from typing import Any

import psutil
import torch

from shardline.engine.plan import Device
from shardline.errors import PlacementError, SettingsError

FREE_SHARE = 0.9
"""How much of the free memory a plan may use where nobody said otherwise: the rest is for what else runs."""


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
    """What a plan may use where `model.maxMemory` is not set."""
    return {device: int(free * FREE_SHARE) for device, free in free_memory().items()}


def parse_limits(max_memory: Mapping[str, str | int]) -> dict[Device, int]:
    """Read `model.maxMemory`: GPUs first in the order of their numbers, then cpu, then disk."""
    limits = {parse_device(key, "model.maxMemory"): _bytes(key, value) for key, value in max_memory.items()}
    if set(limits) <= {"disk"}:
        raise SettingsError(
            'model.maxMemory names no device to compute on; write for example {"0": "10GiB", "cpu": "30GiB"}.'
        )
    order = {"mps": 1, "cpu": 2, "disk": 3}
    return dict(sorted(limits.items(), key=lambda item: (order.get(str(item[0]), 0), str(item[0]).zfill(4))))


def parse_device(name: Any, setting: str) -> Device:
    """Read a device: 0, "0", "cuda:0", "cuda", "cpu", "mps" or "disk"."""
    if isinstance(name, int) and not isinstance(name, bool) and name >= 0:
        return name
    text = str(name).strip().lower()
    if text in ("cpu", "mps", "disk"):
        return text
    if text == "cuda":
        return 0
    number = text.removeprefix("cuda:")
    if number.isascii() and number.isdigit():
        return int(number)
    raise SettingsError(f"{setting}: {name!r} is no device; write the number of a GPU such as 0, or cpu, mps or disk.")


def missing_devices(devices: list[Device]) -> list[Device]:
    """Those of `devices` that this machine does not have."""
    here = {*free_memory(), "cpu", "disk"}
    return [device for device in devices if device not in here]


def not_here(missing: list[Device]) -> str:
    """The sentence that says so."""
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


def _bytes(key: str, value: str | int) -> int:
    from accelerate.utils.modeling import convert_file_size_to_int  # here, because it takes a while

    try:
        size = value if isinstance(value, int) else convert_file_size_to_int(value)
    except ValueError:
        size = -1
    if size < 0:
        raise SettingsError(f'model.maxMemory: {value!r} for {key} is no size; write for example "10GiB".')
    return int(size)
