"""Values of settings: devices, sizes, device maps and infilling formats."""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from shardline.errors import BadValueError

Device = int | str
"""A device as Hugging Face names it: the number of a GPU, "cpu", "mps" or "disk"."""

Strategy = Literal["auto", "balanced", "balanced_low_0", "sequential"]
"""A way to choose devices; auto takes the fewest that hold the model."""

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

DeviceMap = Strategy | Device | Mapping[str, Device]
"""The value of `model.deviceMap`: a strategy, one device for all, or a device for each module."""

MaxMemory = Mapping[Device, int]
"""The value of `model.maxMemory`: how many bytes each device may give, GPUs first, then mps, cpu, disk."""

InfillingFormat = Literal["auto", "psm", "spm", "off"]
"""Way of showing the suffix to a model: prefix first, suffix first, not at all, or as suits it."""

SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)
GPU = re.compile(r"(?:cuda:)?(\d{1,4})", re.ASCII)
DEVICES = "the number of a GPU such as 0, or cpu, mps or disk"


def parse_size(value: str | int) -> int:
    """Return the bytes of a size: 10GiB is 10 times 1024³, 10GB and 10G are 10 times 1000³, a number is bytes.

    Raises `BadValueError`.
    """
    found = SIZE.fullmatch(str(value).strip())
    if found is None or isinstance(value, bool):
        raise BadValueError(f'{value!r} is no size; write for example "10GiB"')
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index((prefix or " ").lower()))


def parse_device(value: Any) -> Device:
    """Return the device of 0, "0", "cuda:0", "cuda", "cpu", "mps" or "disk"; raises `BadValueError`."""
    text = str(value).strip().lower()
    if text in ("cpu", "mps", "disk"):
        return text
    if found := GPU.fullmatch("0" if text == "cuda" else text):
        return int(found[1])
    raise BadValueError(f"{value!r} is no device; write {DEVICES}")


def parse_device_map(value: str | int | Mapping[str, Any]) -> DeviceMap:
    """Return `model.deviceMap` with its devices parsed; raises `BadValueError` that names the strategies."""
    if isinstance(value, Mapping):
        return {module: parse_device(device) for module, device in value.items()}
    for strategy in STRATEGIES:
        if value == strategy:
            return strategy
    try:
        return parse_device(value)
    except BadValueError as error:
        raise BadValueError(
            f"{value!r} is no device and no strategy; write {', '.join(STRATEGIES)}, {DEVICES}, "
            "or a map from modules to devices"
        ) from error


def parse_max_memory(value: Mapping[str, str | int] | None) -> MaxMemory | None:
    """Return `model.maxMemory` with devices and sizes parsed; raises `BadValueError`."""
    if value is None:
        return None
    limits: dict[Device, int] = {}
    for key, size in value.items():
        try:
            limits[parse_device(key)] = parse_size(size)
        except BadValueError as error:
            raise BadValueError(str(error).replace(" is no size", f" for {key} is no size")) from error
    if set(limits) <= {"disk"}:
        raise BadValueError('it names no device to compute on; write for example {"0": "10GiB", "cpu": "30GiB"}')
    gpus = sorted(device for device in limits if isinstance(device, int))
    return {device: limits[device] for device in (*gpus, "mps", "cpu", "disk") if device in limits}
