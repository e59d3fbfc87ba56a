"""Advice for a model that is too slow for typing."""

from collections.abc import Collection
from statistics import median

from shardline.engine import Usage
from shardline.engine.plan import GIB, Plan, in_words
from shardline.settings import EMBEDDED_MODEL, ModelSettings, Settings

ANSWERS = 5
"""How many answers are looked at, so that a single one says nothing."""

SLOW_SECONDS = 2.5
"""Who has to wait longer than this for half of all answers types on without them."""

LARGE = 2 * GIB
"""For models with smaller weights no small one that guesses ahead is much faster."""


def advice(costs: Collection[Usage], settings: Settings, placement: Plan | None) -> str:
    """Return the settings to change, in sentences; empty where the last answers were fast or too few."""
    if len(costs) < ANSWERS:
        return ""
    seconds = median(usage.total_time for usage in costs)
    if seconds <= SLOW_SECONDS:
        return ""
    reading = median(usage.time_to_first_token for usage in costs) > seconds / 2
    helps = "; ".join(_what_helps(settings, placement, reading=reading))
    return f"{settings.model_name} takes {seconds:.1f} seconds for a suggestion. What would help: {helps}."


def _what_helps(settings: Settings, placement: Plan | None, *, reading: bool) -> list[str]:
    """Return what helps; `reading` says whether most of the time goes into the prompt."""
    model, here = settings.model, not settings.is_remote
    shares = placement.devices if placement else ()
    computes = next((share.device for share in shares if share.device not in ("cpu", "disk")), "cpu")
    waiting = sum(share.weights for share in shares if share.device in ("cpu", "disk") and share.device != computes)
    helps = []
    if here and _can_be_packed(model):
        helps.append("set model.quantization to int4, for models like Llama")
    if waiting:
        more = "more memory" if computes == "cpu" else "GPUs with more memory"
        helps.append(f"a smaller model.name or {more}, as {in_words(waiting)} of weights are fetched for each token")
    if reading:
        helps.append(f"lower model.contextTokens, which is {model.context_tokens}")
    else:
        helps.append(f"lower generation.maxTokens, which is {settings.generation.max_tokens}")
        if here and not model.draft and sum(share.weights for share in shares) >= LARGE:
            helps.append("set model.draft to a small model with the same tokens")
    if here and not waiting and model.name != EMBEDDED_MODEL:
        helps.append("choose a smaller model.name")
    return helps


def _can_be_packed(model: ModelSettings) -> bool:
    """Whether fewer bits for each weight would do; those of GGUF files are packed already."""
    stored_packed = model.name == EMBEDDED_MODEL or model.name.endswith(".gguf")
    return model.quantization == "none" and model.engine != "transformers" and not stored_packed
