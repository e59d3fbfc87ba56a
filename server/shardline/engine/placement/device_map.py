"""Device map of a model: weights, KV cache and workspace counted.

accelerate decides, as in `infer_auto_device_map`; this module gives it the sizes and what each
device may give, and turns what comes back into a plan or into a refusal that says what would help.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from torch import nn

from shardline import setting_values
from shardline.engine.placement import devices
from shardline.engine.placement.memory import refusal_of, shares_of, warnings_about
from shardline.engine.placement.meta_model import KV_CACHE_BUFFER, Skeleton
from shardline.engine.plan import SPILLED, DeviceMap, Limits, Plan, device_of, waiting_places
from shardline.errors import SettingsError
from shardline.setting_values import Device
from shardline.settings import ModelSettings


def place(skeleton: Skeleton, settings: ModelSettings, *, context_tokens: int) -> Plan:
    """Plan where the modules of `skeleton` go; raises `SettingsError` where a device map does not fit the model."""
    limits = limits_of(settings)
    disk_asked = settings.offload_folder is not None or "disk" in limits
    device_map, disk_asked = _device_map(skeleton, settings.device_map, limits, disk_asked)
    shares = shares_of(skeleton, device_map, limits, disk_asked)
    return Plan(
        model=settings.name,
        dtype=str(skeleton.dtype).removeprefix("torch."),
        device_map=device_map,
        devices=shares,
        warnings=tuple(warnings_about(skeleton, shares, disk_asked)),
        refusal=refusal_of(skeleton, settings, shares, limits, disk_asked, context_tokens),
    )


def limits_of(settings: ModelSettings) -> Limits:
    """Return how many bytes each device may give."""
    return devices.default_limits() if settings.max_memory is None else settings.max_memory


class Module(TypedDict):
    """A module as `shardline layers --json` lists it; `device` is None where the plan does not name it."""

    name: str
    type: str
    parameters: int
    bytes: int
    device: Device | list[Device | None] | None


def modules(skeleton: Skeleton, plan: Plan, *, depth: int | None) -> list[Module]:
    """Return every module down to `depth`."""
    listed: list[Module] = []
    for name, module in skeleton.model.named_modules():
        level = name.count(".") + 1 if name else 0
        if depth is not None and level > depth:
            continue
        parameters = [(f"{name}.{own}".lstrip("."), weight) for own, weight in module.named_parameters()]
        places = [device_of(plan.device_map, own) for own, _ in parameters] or [device_of(plan.device_map, name)]
        places = list(dict.fromkeys(places))
        listed.append(
            {
                "name": name,
                "type": type(module).__name__,
                "parameters": sum(skeleton.numbers.get(own, weight.numel()) for own, weight in parameters),
                "bytes": sum(weight.nbytes for _, weight in parameters),
                "device": places[0] if len(places) == 1 else places,
            }
        )
    return listed


def _device_map(
    skeleton: Skeleton, asked: setting_values.DeviceMap, limits: Limits, disk_asked: bool
) -> tuple[DeviceMap, bool]:
    """Return the map for `model.deviceMap`, and whether the disk may be used."""
    if isinstance(asked, Mapping):
        _check_complete(skeleton, asked)
        return asked, disk_asked or "disk" in asked.values()
    if asked not in setting_values.STRATEGIES:
        return {"": asked}, disk_asked or asked == "disk"
    memory = {device: limit for device, limit in limits.items() if device != "disk"}
    accelerators = {device: limit for device, limit in memory.items() if device != "cpu"} or memory
    device_map = _without_offload(skeleton, asked, accelerators)
    if SPILLED in device_map.values() and (len(memory) > len(accelerators) or disk_asked):
        device_map = _with_offload(skeleton, memory)
    return device_map, disk_asked


def _check_complete(skeleton: Skeleton, device_map: DeviceMap) -> None:
    """Raise `SettingsError` unless a user's own map names modules that exist, and all of them."""
    names = {name for name, _ in skeleton.model.named_modules()}
    parameters = [name for name, _ in skeleton.model.named_parameters(remove_duplicate=False)]
    unknown = [name for name in device_map if name not in names and name not in parameters]
    if unknown:
        raise SettingsError(
            f"model.deviceMap names {unknown[0]!r}, which the model does not have; `shardline layers` lists them."
        )
    homeless = [name for name in parameters if device_of(device_map, name) is None]
    if homeless:
        raise SettingsError(f"model.deviceMap leaves out {homeless[0]!r}; it must place every module.")


def _without_offload(skeleton: Skeleton, strategy: str | int, limits: Limits) -> DeviceMap:
    if strategy == "auto":
        return _fewest(skeleton, limits)
    if strategy == "sequential" or len(limits) == 1:
        return _pack(skeleton, limits)
    balanced = _pack(skeleton, _balanced(skeleton, limits, low_zero=strategy == "balanced_low_0"))
    return balanced if SPILLED not in balanced.values() else _pack(skeleton, limits)


def _fewest(skeleton: Skeleton, limits: Limits) -> DeviceMap:
    """Return the largest devices, as few as hold the model: splitting layers never makes one stream faster."""
    by_size = sorted(limits, key=lambda device: -limits[device])
    device_map: DeviceMap = {"": by_size[0]}
    if not any(share.missing for share in shares_of(skeleton, device_map, limits, disk_asked=False)):
        return device_map
    for count in range(1, len(by_size) + 1):
        chosen = set(by_size[:count])
        device_map = _pack(skeleton, {device: limits[device] for device in limits if device in chosen})
        if SPILLED not in device_map.values():
            break
    return device_map


def _balanced(skeleton: Skeleton, limits: Limits, *, low_zero: bool) -> Limits:
    """Limits that spread the layers evenly; accelerate wants its devices numbered from 0 for that."""
    from accelerate.utils.modeling import get_balanced_memory

    numbered = {number: _room(skeleton, limit) for number, limit in enumerate(limits.values())}
    balanced = get_balanced_memory(
        skeleton.model,
        max_memory=numbered,
        no_split_module_classes=list(skeleton.no_split),
        dtype=skeleton.dtype,
        low_zero=low_zero,
    )
    return {device: balanced[number] + skeleton.workspace for number, device in enumerate(limits)}


def _pack(skeleton: Skeleton, limits: Limits) -> DeviceMap:
    """Fill the devices in their order; what fits on none of them is `SPILLED`.

    accelerate keeps room for its largest layer on the first GPU and on the CPU, to bring offloaded layers back
    there. Nothing is offloaded here, so a device of no size goes first and the CPU goes by a number.
    """
    numbered = {0: 0, **{number: _room(skeleton, limit) for number, limit in enumerate(limits.values(), 1)}}
    names = dict(enumerate(limits, 1))
    return {module: names.get(number, SPILLED) for module, number in _infer(skeleton, numbered).items()}


def _with_offload(skeleton: Skeleton, limits: Limits) -> DeviceMap:
    """Let layers wait on the CPU and on disk; they are computed, and keep their KV cache, on the first device.

    Of those that are fetched there at once, accelerate itself keeps room for one.
    """
    main = next(iter(limits))
    largest = max((_bytes(skeleton.model.get_submodule(layer)) for layer in skeleton.layers), default=0)
    buffers = (skeleton.fetched_at_once - 1) * largest if main != "cpu" else 0
    kept = 0
    while True:
        room = {
            device: limit if device == "cpu" != main else _room(skeleton, limit) for device, limit in limits.items()
        }
        room[main] = max(0, room[main] - kept - buffers)
        device_map = _infer(skeleton, room)
        waiting = sum(device_of(device_map, layer) in waiting_places(main) for layer in skeleton.layers)
        if waiting * skeleton.kv_cache_per_layer <= kept:
            return device_map
        kept = waiting * skeleton.kv_cache_per_layer


def _infer(skeleton: Skeleton, limits: Mapping[Any, int]) -> dict[str, Any]:
    from accelerate import infer_auto_device_map  # lazy: one device that holds all does not need it

    inferred: dict[str, Any] = infer_auto_device_map(
        skeleton.model,
        max_memory=dict(limits),
        no_split_module_classes=list(skeleton.no_split),
        dtype=skeleton.dtype,
        offload_buffers=True,
    )
    # The KV cache is ours, not the model's: where a lone layer was split off, its buffer is listed by itself.
    return {name: device for name, device in inferred.items() if not name.endswith(KV_CACHE_BUFFER)}


def _bytes(module: nn.Module) -> int:
    return sum(weight.nbytes for weight in module.parameters())


def _room(skeleton: Skeleton, limit: int) -> int:
    return max(0, limit - skeleton.workspace)
