"""Which layers go on which device: weights, KV cache and workspace counted, before any weight is read.

accelerate decides, as in `infer_auto_device_map`; this module tells it how large things are and what each
device may give, and turns what comes back into a plan or into a refusal that says what would help.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from accelerate import infer_auto_device_map
from accelerate.utils.modeling import get_balanced_memory

from shardline.engine import devices
from shardline.engine.plan import Device, DeviceShare, Plan, in_words
from shardline.engine.skeleton import KV_CACHE_BUFFER, Skeleton
from shardline.errors import SettingsError
from shardline.settings import ModelSettings

DeviceMap = Mapping[str, Device]
Limits = Mapping[Device, int]

STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")
SPILLED: Device = "disk"
"""Where accelerate puts what fits nowhere."""


def place(skeleton: Skeleton, settings: ModelSettings, *, context_tokens: int) -> Plan:
    """Plan where the modules of `skeleton` go; raises `SettingsError` where a setting cannot be read."""
    limits = devices.default_limits() if settings.max_memory is None else devices.parse_limits(settings.max_memory)
    disk_asked = settings.offload_folder is not None or "disk" in limits
    device_map, disk_asked = _device_map(skeleton, settings.device_map, limits, disk_asked)
    shares = _shares(skeleton, device_map, limits, disk_asked)
    return Plan(
        model=settings.name,
        dtype=str(skeleton.dtype).removeprefix("torch."),
        device_map=device_map,
        devices=shares,
        warnings=tuple(_warnings(skeleton, shares, disk_asked)),
        refusal=_refusal(skeleton, settings, shares, limits, disk_asked, context_tokens),
    )


def modules(skeleton: Skeleton, plan: Plan, *, depth: int | None) -> list[dict[str, Any]]:
    """Every module down to `depth`: its name, type, parameters, bytes and the devices its parameters are on."""
    listed = []
    for name, module in skeleton.model.named_modules():
        level = name.count(".") + 1 if name else 0
        if depth is not None and level > depth:
            continue
        parameters = [(f"{name}.{own}".lstrip("."), weight) for own, weight in module.named_parameters()]
        places = [_lookup(plan.device_map, own) for own, _ in parameters] or [_lookup(plan.device_map, name)]
        listed.append(
            {
                "name": name,
                "type": type(module).__name__,
                "parameters": sum(weight.numel() for _, weight in parameters),
                "bytes": sum(weight.nbytes for _, weight in parameters),
                "devices": [place for place in dict.fromkeys(places) if place is not None],
            }
        )
    return listed


def _device_map(
    skeleton: Skeleton, wish: str | int | Mapping[str, str | int], limits: Limits, disk_asked: bool
) -> tuple[DeviceMap, bool]:
    """The map for `model.deviceMap`, and whether the disk may be used."""
    if isinstance(wish, Mapping):
        explicit = _explicit(skeleton, wish)
        return explicit, disk_asked or "disk" in explicit.values()
    if wish not in STRATEGIES:
        device = devices.parse_device(wish, "model.deviceMap")
        return {"": device}, disk_asked or device == "disk"
    memory = {device: limit for device, limit in limits.items() if device != "disk"}
    accelerators = {device: limit for device, limit in memory.items() if device != "cpu"} or memory
    device_map = _without_offload(skeleton, wish, accelerators)
    if SPILLED in device_map.values() and (len(memory) > len(accelerators) or disk_asked):
        device_map = _with_offload(skeleton, memory)
    return device_map, disk_asked


def _explicit(skeleton: Skeleton, wish: Mapping[str, str | int]) -> DeviceMap:
    """Check that a user's own map names modules that exist, and all of them."""
    modules = {name for name, _ in skeleton.model.named_modules()}
    parameters = [name for name, _ in skeleton.model.named_parameters(remove_duplicate=False)]
    unknown = [name for name in wish if name not in modules and name not in parameters]
    if unknown:
        raise SettingsError(
            f"model.deviceMap names {unknown[0]!r}, which the model does not have; `shardline layers` lists them."
        )
    device_map = {name: devices.parse_device(device, "model.deviceMap") for name, device in wish.items()}
    homeless = [name for name in parameters if _lookup(device_map, name) is None]
    if homeless:
        raise SettingsError(f"model.deviceMap leaves out {homeless[0]!r}; it must place every module.")
    return device_map


def _without_offload(skeleton: Skeleton, strategy: str | int, limits: Limits) -> DeviceMap:
    if strategy == "auto":
        return _fewest(skeleton, limits)
    if strategy == "sequential" or len(limits) == 1:
        return _pack(skeleton, limits)
    balanced = _pack(skeleton, _balanced(skeleton, limits, low_zero=strategy == "balanced_low_0"))
    return balanced if SPILLED not in balanced.values() else _pack(skeleton, limits)


def _fewest(skeleton: Skeleton, limits: Limits) -> DeviceMap:
    """The largest devices, as few as hold the model: splitting layers never makes one stream faster."""
    by_size = sorted(limits, key=lambda device: -limits[device])
    device_map: DeviceMap = {}
    for count in range(1, len(by_size) + 1):
        chosen = set(by_size[:count])
        device_map = _pack(skeleton, {device: limits[device] for device in limits if device in chosen})
        if SPILLED not in device_map.values():
            break
    return device_map


def _balanced(skeleton: Skeleton, limits: Limits, *, low_zero: bool) -> Limits:
    """Limits that spread the layers evenly; accelerate wants its devices numbered from 0 for that."""
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
    """Let layers wait on the CPU and on disk; they are computed, and keep their KV cache, on the first device."""
    main = next(iter(limits))
    kept = 0
    while True:
        room = {
            device: limit if device == "cpu" != main else _room(skeleton, limit) for device, limit in limits.items()
        }
        room[main] = max(0, room[main] - kept)
        device_map = _infer(skeleton, room)
        waiting = sum(_lookup(device_map, layer) in _waiting_places(main) for layer in skeleton.layers)
        if waiting * skeleton.kv_cache_per_layer <= kept:
            return device_map
        kept = waiting * skeleton.kv_cache_per_layer


def _infer(skeleton: Skeleton, limits: Mapping[Any, int]) -> dict[str, Any]:
    inferred: dict[str, Any] = infer_auto_device_map(
        skeleton.model,
        max_memory=dict(limits),
        no_split_module_classes=list(skeleton.no_split),
        dtype=skeleton.dtype,
        offload_buffers=True,
    )
    # The KV cache is ours, not the model's: where a lone layer was split off, its buffer is listed by itself.
    return {name: device for name, device in inferred.items() if not name.endswith(KV_CACHE_BUFFER)}


def _room(skeleton: Skeleton, limit: int) -> int:
    return max(0, limit - skeleton.workspace)


def _waiting_places(main: Device) -> tuple[Device, ...]:
    """Places from which weights are fetched to `main` to be computed."""
    return ("disk",) if main == "cpu" else ("cpu", "disk")


def _main_device(device_map: DeviceMap) -> Device:
    """Where offloaded layers are computed: the first accelerator of the map, else the CPU."""
    return next((device for device in device_map.values() if device not in ("cpu", "disk")), "cpu")


def _shares(skeleton: Skeleton, device_map: DeviceMap, limits: Limits, disk_asked: bool) -> tuple[DeviceShare, ...]:
    """What each device holds; where the disk was not asked for, "disk" stands for what found no room."""
    main = _main_device(device_map)
    waiting = _waiting_places(main) if disk_asked else _waiting_places(main)[:-1]
    used = [device for device in limits if device in device_map.values()]
    used += [device for device in dict.fromkeys(device_map.values()) if device not in used]
    if main not in used:
        used.insert(0, main)
    weights = _weights(skeleton, device_map)
    layers = dict.fromkeys(used, 0)
    kv_cache = dict.fromkeys(used, 0)
    for layer in skeleton.layers:
        device = _lookup(device_map, layer) or _lookup(device_map, f"{layer}.") or main
        layers[device] += 1
        kv_cache[main if device in waiting else device] += skeleton.kv_cache_per_layer
    workspace = {device: skeleton.workspace for device in used if device not in (*waiting, "disk")}
    if any(device in waiting for device in used):
        workspace[main] += _largest_waiting(skeleton, device_map, waiting)
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
        device = _lookup(device_map, name)
        if device is None or name.endswith(KV_CACHE_BUFFER) or (device, id(tensor)) in seen:
            continue
        seen.add((device, id(tensor)))
        total[device] = total.get(device, 0) + tensor.nbytes
    return total


def _largest_waiting(skeleton: Skeleton, device_map: DeviceMap, places: Sequence[Device]) -> int:
    """Bytes of the largest module that is fetched from `places`: a decoder layer, or one that is in none."""
    inside = {id(module) for name in skeleton.layers for module in skeleton.model.get_submodule(name).modules()}
    sizes = [0]
    for name, module in skeleton.model.named_modules():
        whole = name in skeleton.layers or (id(module) not in inside and not list(module.children()))
        if whole and _lookup(device_map, name) in places:
            sizes.append(sum(weight.nbytes for weight in module.parameters()))
    return max(sizes)


def _lookup(device_map: DeviceMap, name: str) -> Device | None:
    """The device of the nearest named ancestor of `name`, or its own."""
    while name:
        if name in device_map:
            return device_map[name]
        name = name.rpartition(".")[0]
    return device_map.get("")


def _warnings(skeleton: Skeleton, shares: Sequence[DeviceShare], disk_asked: bool) -> list[str]:
    warnings = []
    for device in devices.missing_devices([share.device for share in shares]):
        warnings.append(f"Device {device} is not on this machine.")
    main = next((share.device for share in shares if share.device not in ("cpu", "disk")), "cpu")
    for share in shares:
        if share.device in _waiting_places(main) and share.weights and (disk_asked or share.device != "disk"):
            place = "in CPU memory" if share.device == "cpu" else "on disk"
            warnings.append(
                f"{in_words(share.weights)} of weights wait {place} and are fetched again for every token, "
                "which is slow."
            )
    if not skeleton.kv_cache_per_layer:
        warnings.append("This architecture does not tell how large its KV cache is; it is not counted.")
    return warnings


def _refusal(
    skeleton: Skeleton,
    settings: ModelSettings,
    shares: Sequence[DeviceShare],
    limits: Limits,
    disk_asked: bool,
    context_tokens: int,
) -> str:
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
