"""From settings and a checkpoint to a plan and a decoder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from shardline.engine.checkpoints.checkpoint import Checkpoint
from shardline.engine.checkpoints.json_file import read_object
from shardline.engine.checkpoints.manifest import STORED_BITS
from shardline.engine.models.llama.config import FAMILIES, Shape, shape_of
from shardline.engine.placement import device_map
from shardline.engine.placement.meta_model import PackedBytes, Skeleton, build_skeleton
from shardline.engine.plan import PREFILL_STEP, Plan, device_of
from shardline.engine.weights.bits import bits_of
from shardline.engine.weights.linear import packed_bytes
from shardline.errors import PlacementError, SettingsError
from shardline.settings import ModelSettings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan with what it was made from. `shape` is that of the lean decoder, None where transformers runs it.

    `draft` is the draft model beside it, if there is one.
    """

    source: Checkpoint
    plan: Plan
    skeleton: Skeleton
    context_tokens: int
    shape: Shape | None
    draft: "Planned | None" = None


def make(settings: ModelSettings, source: Checkpoint) -> Planned:
    """Plan where the model goes; raises `SettingsError` and `PlacementError`."""
    tokens = context_tokens(settings, source)
    shape = None if settings.engine == "transformers" else shape_of(source.values) or _shape_in_full(source)
    if shape is None or (shape.window or tokens) < tokens:
        _refuse_what_needs_llama(settings, "is none")
        return _plan(settings, source, tokens, None)
    planned = _plan(settings, source, tokens, shape)
    if not planned.plan.fits or _in_stages(planned):
        return planned
    _refuse_what_needs_llama(settings, "would have layers that wait on disk, or are taken apart")
    return _plan(settings, source, tokens, None)


def modules(settings: ModelSettings, source: Checkpoint, *, depth: int | None) -> list[device_map.Module]:
    """Return the modules of the model as transformers has them, each with its device; see `device_map.modules`."""
    planned = make(settings, source)
    skeleton = planned.skeleton
    if planned.shape:
        skeleton = _skeleton(settings, source, skeleton.dtype, planned.context_tokens, source.config(), packs=True)
    return device_map.modules(skeleton, planned.plan, depth=depth)


def context_tokens(settings: ModelSettings, source: Checkpoint) -> int:
    """Return the context size in tokens: the setting, but never more than the model was made for."""
    longest = source.values.get("max_position_embeddings") or getattr(
        source.config().get_text_config(), "max_position_embeddings", None
    )
    return min(settings.context_tokens, longest or settings.context_tokens)


def _shape_in_full(source: Checkpoint) -> Shape | None:
    """Return the shape of a model whose config leaves out what transformers knows."""
    return shape_of(source.config().to_dict()) if source.values.get("model_type") in FAMILIES else None


def _plan(settings: ModelSettings, source: Checkpoint, tokens: int, shape: Shape | None) -> Planned:
    def plan_in(dtype: torch.dtype) -> Planned:
        made_of = shape or source.config()
        skeleton = _skeleton(settings, source, dtype, tokens, made_of, packs=shape is not None)
        plan = device_map.place(skeleton, settings, context_tokens=tokens)
        return Planned(source=source, plan=plan, skeleton=skeleton, context_tokens=tokens, shape=shape)

    dtype = source.dtype(settings.dtype)
    planned = plan_in(dtype)
    on_cpu = {share.device for share in planned.plan.devices} <= {"cpu", "disk"}
    packed = shape is not None and settings.quantization != "none"
    if settings.dtype == "auto" and (packed or (on_cpu and dtype == torch.float16)):
        return plan_in(torch.bfloat16)  # for which the fast kernels are written, and on a CPU no others are fast
    return planned


def _skeleton(
    settings: ModelSettings,
    source: Checkpoint,
    dtype: torch.dtype,
    tokens: int,
    made_of: "Shape | PreTrainedConfig",
    *,
    packs: bool,
) -> Skeleton:
    return build_skeleton(
        made_of,
        dtype=dtype,
        context_tokens=tokens,
        prefill_tokens=PREFILL_STEP,
        packed_bytes=_packed_bytes(settings, source, dtype) if packs else None,
    )


def _packed_bytes(settings: ModelSettings, source: Checkpoint, dtype: torch.dtype) -> PackedBytes | None:
    """Return the function for bytes of packed weights in the lean decoder; None where nothing is packed."""
    stored: dict[str, int] = {}
    if source.gguf and settings.quantization == "none":
        stored = read_object(source.folder / STORED_BITS)
    if settings.quantization == "none" and not stored:
        return None

    def size(name: str, weight: Tensor) -> int | None:
        if weight.dim() != 2:
            return None
        bits = bits_of(name, weight.shape[1], settings.quantization, stored)
        return packed_bytes(bits, weight, dtype.itemsize) if bits else None

    return size


def _in_stages(planned: Planned) -> bool:
    """Whether each layer is whole on a device that computes it, or waits for a CUDA device in CPU memory."""
    places = planned.plan.device_map
    parts = [*planned.skeleton.layers, "model.embed_tokens", "model.norm", "lm_head"]
    used = {device_of(places, part) for part in parts}
    return used <= {"cpu"} or not used & {None, "disk", "mps"} or used == {"mps"}


def _refuse_what_needs_llama(settings: ModelSettings, why: str) -> None:
    if settings.quantization != "none":
        raise PlacementError(
            f"model.quantization: only a model like Llama can be packed, with each layer whole and none on disk; "
            f"{settings.name} {why}. Set it to none."
        )
    if settings.engine == "llama":
        raise SettingsError(
            f"model.engine: llama runs only models like Llama, with each layer whole and none on disk; "
            f"{settings.name} {why}. Set it to auto."
        )
