"""Memory of a placement on each device, its refusal and remedies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shardline.engine.placement import devices
from shardline.engine.placement.meta_model import KV_CACHE_BUFFER, Skeleton
from shardline.engine.plan import (
    SPILLED,
    DeviceMap,
    DeviceShare,
    Limits,
    device_of,
    in_words,
    main_device,
    waiting_places,
)
from shardline.setting_values import Device

if TYPE_CHECKING:
    from shardline.settings import ModelSettings


def shares_of(skeleton: Skeleton, device_map: DeviceMap, limits: Limits, disk_asked: bool) -> tuple[DeviceShare, ...]:
    """Return what each device holds; without leave to use the disk, "disk" stands for what found no room."""
    main = main_device(device_map.values())
    waiting = waiting_places(main) if disk_asked else waiting_places(main)[:-1]
    used = [device for device in limits if device in device_map.values()]
    used += [device for device in dict.fromkeys(device_map.values()) if device not in used]
    if main not in used:
        used.insert(0, main)
    weights = _weights(skeleton, device_map)
    layers = dict.fromkeys(used, 0)
    kv_cache = dict.fromkeys(used, 0)
    for layer in skeleton.layers:
        device = device_of(device_map, layer)
        if device is None:  # a user's map takes the layer apart
            device = main
        layers[device] += 1
        kv_cache[main if device in waiting else device] += skeleton.kv_cache_per_layer
    workspace = {device: skeleton.workspace for device in used if device not in (*waiting, "disk")}
    if any(device in waiting for device in used):
        workspace[main] += _fetched(skeleton, device_map, waiting)
    return tuple(
        DeviceShare(
            device=device,
            limit=limits.get(device),
            weights=weights.get(device, 0),
            kv_cache=kv_cache[device],
            workspace=workspace.get(device, 0),
            layers=layers[device],
        )
        for device in used
    )


def _weights(skeleton: Skeleton, device_map: DeviceMap) -> dict[Device, int]:
    """Bytes of parameters and buffers on each device; tied weights count once on each device they are on."""
    seen: set[tuple[Device, int]] = set()
    total: dict[Device, int] = {}
    parameters = skeleton.model.named_parameters(remove_duplicate=False)
    buffers = skeleton.model.named_buffers(remove_duplicate=False)
    for name, tensor in (*parameters, *buffers):
        device = device_of(device_map, name)
        if device is None or name.endswith(KV_CACHE_BUFFER) or (device, id(tensor)) in seen:
            continue
        seen.add((device, id(tensor)))
        total[device] = total.get(device, 0) + tensor.nbytes
    return total


def _fetched(skeleton: Skeleton, device_map: DeviceMap, places: Sequence[Device]) -> int:
    """Bytes of what is fetched from `places` at a time, at most: decoder layers, or modules that are in none."""
    inside = {id(module) for name in skeleton.layers for module in skeleton.model.get_submodule(name).modules()}
    sizes = []
    for name, module in skeleton.model.named_modules():
        whole = name in skeleton.layers or (id(module) not in inside and not list(module.children()))
        if whole and device_of(device_map, name) in places:
            sizes.append(sum(weight.nbytes for weight in module.parameters()))
    return sum(sorted(sizes)[-skeleton.fetched_at_once :])


def warnings_about(skeleton: Skeleton, shares: Sequence[DeviceShare], disk_asked: bool) -> list[str]:
    """Return warnings about a placement that fits, in sentences."""
    warnings = []
    if missing := devices.missing_devices([share.device for share in shares]):
        warnings.append(devices.not_here(missing))
    main = main_device(share.device for share in shares)
    for share in shares:
        if share.device in waiting_places(main) and share.weights and (disk_asked or share.device != "disk"):
            place = "in CPU memory" if share.device == "cpu" else "on disk"
            warnings.append(
                f"{in_words(share.weights)} of weights wait {place} and are fetched again for every token, "
                "which is slow."
            )
    if not skeleton.kv_cache_per_layer:
        warnings.append("The config of this architecture does not say how large its KV cache is; it is not counted.")
    return warnings


def refusal_of(
    skeleton: Skeleton,
    settings: "ModelSettings",
    shares: Sequence[DeviceShare],
    limits: Limits,
    disk_asked: bool,
    context_tokens: int,
) -> str:
    """Why these shares cannot be had, by how much, and what would help; empty where they can."""
    spilled = next((share for share in shares if share.device == SPILLED and not disk_asked), None)
    short = sum(share.missing for share in shares)
    if spilled:
        short += spilled.weights + spilled.kv_cache
    if not short:
        return ""
    weights = sum(share.weights for share in shares)
    kv_cache = len(skeleton.layers) * skeleton.kv_cache_per_layer
    workspace = max(share.workspace for share in shares)
    offered = ", ".join(f"{device}: {in_words(limit)}" for device, limit in limits.items() if device != "disk")
    helps = _what_would_help(skeleton, limits, disk_asked, context_tokens, short, kv_cache)
    return (
        f"{settings.name} in {str(skeleton.dtype).removeprefix('torch.')} does not fit: it needs "
        f"{in_words(weights)} for weights, {in_words(kv_cache)} for the KV cache of {context_tokens} tokens and "
        f"{in_words(workspace)} of workspace on each device; model.maxMemory allows {offered}. "
        f"{in_words(short)} find no room. What would help: {'; '.join(helps)}."
    )


def _what_would_help(
    skeleton: Skeleton, limits: Limits, disk_asked: bool, context_tokens: int, short: int, kv_cache: int
) -> list[str]:
    helps = [f"raise model.maxMemory by {in_words(short)}"]
    if skeleton.dtype.itemsize == 4:
        helps.append("set model.dtype to bfloat16, which halves the weights")
    if kv_cache > short:
        fewer = int(context_tokens * (1 - short / kv_cache)) // 256 * 256
        if fewer:
            helps.append(f"set model.contextTokens to {fewer} or less")
    if "cpu" not in limits and "mps" not in limits:
        helps.append('add "cpu" to model.maxMemory')
    if not disk_asked:
        helps.append("set model.offloadFolder, so that layers may wait on disk (slow)")
    helps.append("choose a smaller model.name")
    return helps
