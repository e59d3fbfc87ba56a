"""Plan as data: modules on devices, and each device's load.

It knows no torch.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shardline.setting_values import Device

KIB, MIB, GIB = 2**10, 2**20, 2**30

PREFILL_STEP = 256
"""Prompt tokens read at once: long enough to be efficient, short enough to be cancelled between two steps."""

DeviceMap = Mapping[str, Device]
"""Devices of modules, by their names."""

Limits = Mapping[Device, int]
"""Bytes that devices may hold."""

SPILLED: Device = "disk"
"""Device of modules that fit nowhere, as accelerate has it."""


@dataclass(frozen=True, kw_only=True)
class DeviceShare:
    """Load of one device, in bytes; `limit` is None where nothing bounds it, `layers` counts decoder layers."""

    device: Device
    limit: int | None
    weights: int
    kv_cache: int
    workspace: int
    layers: int
    draft: int = 0
    """All that the draft model needs there, its KV cache and workspace too."""

    @property
    def used(self) -> int:
        """All that is held, in bytes."""
        return self.weights + self.kv_cache + self.workspace + self.draft

    @property
    def missing(self) -> int:
        """Bytes held beyond the limit."""
        return 0 if self.limit is None else max(0, self.used - self.limit)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Placement of a model's modules.

    `device_map` maps module names to devices as accelerate and transformers read it. `refusal` is empty where
    the plan fits; else it says by how much it does not and what would help. `draft` is the plan of the draft model,
    which the shares of the devices count already.
    """

    model: str
    dtype: str
    device_map: Mapping[str, Device]
    devices: tuple[DeviceShare, ...]
    warnings: tuple[str, ...] = ()
    refusal: str = ""
    draft: "Plan | None" = None

    @property
    def fits(self) -> bool:
        """Whether every device can hold what the plan gives it."""
        return not self.refusal

    def fingerprint(self) -> str:
        """Return a name for where everything lies and in which dtype."""
        return hashlib.sha256(json.dumps([self.dtype, dict(self.device_map)]).encode()).hexdigest()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Plan":
        """Return the plan that `as_json` wrote, in this process or another."""
        *warnings, last = [*values["warnings"], ""] if values["fits"] else values["warnings"]
        return cls(
            model=values["model"],
            dtype=values["dtype"],
            device_map=values["device_map"],
            devices=tuple(DeviceShare(**share) for share in values["devices"]),
            warnings=tuple(warnings),
            refusal=last,
            draft=cls.from_json(values["draft"]) if values["draft"] else None,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the plan as `shardline plan --json` prints it; its last warning is the refusal, where it has one."""
        warnings = [*self.warnings, *([self.refusal] if self.refusal else [])]
        return {
            "model": self.model,
            "dtype": self.dtype,
            "fits": self.fits,
            "device_map": dict(self.device_map),
            "devices": [asdict(share) for share in self.devices],
            "warnings": warnings,
            "draft": self.draft.as_json() if self.draft else None,
        }


def in_words(size: float) -> str:
    """Return a number of bytes for people: 5.3 GiB."""
    for unit, scale in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size:.0f} bytes"


def waiting_places(main: Device) -> tuple[Device, ...]:
    """Places from which weights are fetched to `main` to be computed."""
    return ("disk",) if main == "cpu" else ("cpu", "disk")


def main_device(used: Iterable[Device]) -> Device:
    """Return the device that computes offloaded layers: the first accelerator of those used, else the CPU."""
    return next((device for device in used if device not in ("cpu", "disk")), "cpu")


def device_of(device_map: DeviceMap, name: str) -> Device | None:
    """Return the device of `name`, or of its nearest ancestor that has one."""
    while name:
        if name in device_map:
            return device_map[name]
        name = name.rpartition(".")[0]
    return device_map.get("")
