"""Advice for models too slow for typing."""

from collections.abc import Collection
from statistics import median

from shardline.engine import Usage
from shardline.engine.plan import GIB, Plan, in_words
from shardline.settings import EMBEDDED_MODEL, ModelSettings, Settings

ANSWERS = 5
"""Answers considered: a single slow one means nothing."""

SLOW_SECONDS = 2.5
"""Users do not wait longer than this; it applies to the median."""

LARGE = 2 * GIB
"""Bytes of weights from which on a draft model is much faster."""


def advice(usages: Collection[Usage], settings: Settings, placement: Plan | None) -> str:
    """Return what to change, in sentences; empty if the last answers were fast enough or too few.

    `placement` is `Engine.placement`.
    """
    if len(usages) < ANSWERS:
        return ""
    seconds = median(usage.total_time for usage in usages)
    if seconds <= SLOW_SECONDS:
        return ""
    prefill = median(usage.time_to_first_token for usage in usages) > seconds / 2
    helps = "; ".join(_changes(settings, placement, prefill=prefill))
    return f"{settings.model_name} takes {seconds:.1f} seconds for a suggestion. What would help: {helps}."


def _changes(settings: Settings, placement: Plan | None, *, prefill: bool) -> list[str]:
    """Return the changes that help, best first; `prefill` says if it takes most of the time, or else decode."""
    model, here = settings.model, not settings.is_remote
    shares = placement.devices if placement else ()
    compute_device = next((share.device for share in shares if share.device not in ("cpu", "disk")), "cpu")
    offloaded = sum(
        share.weights for share in shares if share.device in ("cpu", "disk") and share.device != compute_device
    )
    helps = []
    if here and _can_be_quantized(model):
        helps.append("set model.quantization to int4, for models like Llama")
    if offloaded:
        more = "more memory" if compute_device == "cpu" else "GPUs with more memory"
        helps.append(f"a smaller model.name or {more}, as {in_words(offloaded)} of weights are fetched for each token")
    if prefill:
        helps.append(f"lower model.contextTokens, which is {model.context_tokens}")
    else:
        helps.append(f"lower generation.maxTokens, which is {settings.generation.max_tokens}")
        if here and not model.draft and sum(share.weights for share in shares) >= LARGE:
            helps.append("set model.draft to a small model with the same tokens")
    if here and not offloaded and model.name != EMBEDDED_MODEL:
        helps.append("choose a smaller model.name")
    return helps


def _can_be_quantized(model: ModelSettings) -> bool:
    """Return whether the weights can be quantized; those of GGUF files are already."""
    is_packed = model.name == EMBEDDED_MODEL or model.name.endswith(".gguf")
    return model.quantization == "none" and model.engine != "transformers" and not is_packed
