"""From settings and a checkpoint to a plan, and to who will run the model: the lean decoder where it can."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from shardline.engine import placement
from shardline.engine.accounting import device_of
from shardline.engine.checkpoint import Checkpoint
from shardline.engine.generate import PREFILL_STEP
from shardline.engine.gguf_weights import stored_bits
from shardline.engine.models.shape import Shape, shape_of
from shardline.engine.plan import Plan
from shardline.engine.quantize import GROUP, packed_bytes
from shardline.engine.skeleton import PackedBytes, Skeleton, build_skeleton
from shardline.errors import PlacementError, SettingsError
from shardline.settings import ModelSettings


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan with what it was made from. `shape` is that of the lean decoder, None where transformers runs it."""

    plan: Plan
    skeleton: Skeleton
    context_tokens: int
    shape: Shape | None


def make(settings: ModelSettings, source: Checkpoint) -> Planned:
    """Plan where the model goes; raises `SettingsError` and `PlacementError`."""
    config = source.config()
    tokens = context_tokens(settings, config)
    shape = None if settings.engine == "transformers" else shape_of(config, tokens)
    if shape is None:
        _refuse_what_needs_llama(settings, "is none")
        return _plan(settings, source, config, tokens, None)
    planned = _plan(settings, source, config, tokens, shape)
    if not planned.plan.fits or _in_stages(planned):
        return planned
    _refuse_what_needs_llama(settings, "would have layers that wait in CPU memory or on disk, or are taken apart")
    return _plan(settings, source, config, tokens, None)


def context_tokens(settings: ModelSettings, config: PreTrainedConfig) -> int:
    """How many tokens the model may look at: what is set, but never more than it was made for."""
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min(settings.context_tokens, longest or settings.context_tokens)


def _plan(
    settings: ModelSettings, source: Checkpoint, config: PreTrainedConfig, tokens: int, shape: Shape | None
) -> Planned:
    def plan_in(dtype: torch.dtype) -> Planned:
        skeleton = build_skeleton(
            config,
            dtype=dtype,
            context_tokens=tokens,
            prefill_tokens=PREFILL_STEP,
            packed_bytes=_packed_bytes(settings, source, dtype) if shape else None,
        )
        plan = placement.place(skeleton, settings, context_tokens=tokens)
        return Planned(plan=plan, skeleton=skeleton, context_tokens=tokens, shape=shape)

    dtype = source.dtype(settings.dtype, config)
    planned = plan_in(dtype)
    on_cpu = {share.device for share in planned.plan.devices} <= {"cpu", "disk"}
    if settings.dtype == "auto" and dtype == torch.float16 and on_cpu:
        return plan_in(torch.bfloat16)  # as large, and many times faster there
    return planned


def _packed_bytes(settings: ModelSettings, source: Checkpoint, dtype: torch.dtype) -> PackedBytes | None:
    """How large weights are in the lean decoder; None where nothing is packed."""
    stored = stored_bits(source.gguf) if source.gguf and settings.quantization == "none" else {}
    if settings.quantization == "none" and not stored:
        return None

    def size(name: str, weight: Tensor) -> int | None:
        if weight.dim() != 2:
            return None
        if settings.quantization == "none":
            bits = stored.get(name)
        else:
            is_table = "embed_tokens" in name or "lm_head" in name
            bits = 4 if settings.quantization == "int4" and not is_table and weight.shape[1] % GROUP == 0 else 8
        return packed_bytes(bits, weight, dtype.itemsize) if bits else None

    return size


def _in_stages(planned: Planned) -> bool:
    """Whether each layer is whole on a device that computes it."""
    places = planned.plan.device_map
    parts = [*planned.skeleton.layers, "model.embed_tokens", "model.norm", "lm_head"]
    used = {device_of(places, part) for part in parts}
    waiting = "disk" in used or ("cpu" in used and len(used) > 1)
    return None not in used and not waiting


def _refuse_what_needs_llama(settings: ModelSettings, why: str) -> None:
    if settings.quantization != "none":
        raise PlacementError(
            f"model.quantization: only a model like Llama can be packed, with all its layers on devices that compute "
            f"them; {settings.name} {why}. Set it to none."
        )
    if settings.engine == "llama":
        raise SettingsError(
            f"model.engine: llama runs only models like Llama, with all their layers on devices that compute them; "
            f"{settings.name} {why}. Set it to auto."
        )
