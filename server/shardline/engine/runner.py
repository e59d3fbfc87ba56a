"""A model that is loaded and ready: from a request to chunks, blocking, in whichever thread calls."""

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedConfig

from shardline.engine import Chunk, Progress, Report, Request, checkpoint, devices, placement, prompt
from shardline.engine.codec import Codec
from shardline.engine.generate import PREFILL_STEP, Cancelled, generate, score
from shardline.engine.kv_cache import KVCache
from shardline.engine.models import transformers
from shardline.engine.plan import Plan
from shardline.engine.skeleton import Skeleton, build_skeleton
from shardline.errors import GenerationError, PlacementError
from shardline.settings import ModelSettings

log = logging.getLogger(__name__)


class Runner:
    """Owns the model, its codec and the KV cache that is kept between requests."""

    def __init__(
        self,
        *,
        plan: Plan,
        model: transformers.TransformersModel,
        codec: Codec,
        context_tokens: int,
    ) -> None:
        self.plan = plan
        self._context_tokens = context_tokens
        self._codec = codec
        self._cache = KVCache(model)

    @property
    def infills(self) -> bool:
        """Whether the model can be shown what follows the cursor."""
        return self._codec.infilling is not None

    def complete(self, request: Request, cancelled: threading.Event) -> Iterator[Chunk]:
        """Stream the completion of `request`; ends early, without a finish reason, once `cancelled` is set."""
        budget = prompt_budget(self._context_tokens, request.max_tokens)
        built = prompt.build(request, self._codec, budget=budget)
        try:
            yield from generate(
                request,
                built,
                max_tokens=self._context_tokens - budget,
                cache=self._cache,
                codec=self._codec,
                cancelled=cancelled,
            )
        except Cancelled:
            log.debug("cancelled")
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory() from error

    def score_suffix(self, request: Request, texts: Sequence[str], cancelled: threading.Event) -> list[float]:
        """For each of `texts`, put at the cursor, the log-probability of the next lines of the suffix; 0 for none.

        Raises `Cancelled` soon after the event is set.
        """
        ahead = prompt.lines_ahead(request.suffix)
        if not ahead:
            return [0.0] * len(texts)
        scores = []
        try:
            for text in texts:
                ids, count = prompt.build_ahead(request.prefix + text, ahead, self._codec, budget=self._context_tokens)
                scores.append(score(self._cache, ids, count, cancelled))
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory() from error
        return scores

    def _out_of_memory(self) -> GenerationError:
        self._cache.clear()
        torch.cuda.empty_cache()
        return GenerationError(
            "A device ran out of memory while completing. Lower model.contextTokens, or lower model.maxMemory so that "
            "more of the device stays free."
        )


def context_tokens(settings: ModelSettings, config: PreTrainedConfig) -> int:
    """How many tokens the model may look at: what is set, but never more than it was made for."""
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min(settings.context_tokens, longest or settings.context_tokens)


def prompt_budget(context_tokens: int, max_tokens: int) -> int:
    """How many tokens a prompt may have: room for `max_tokens` is kept, but at most half of the context."""
    return context_tokens - min(max_tokens, context_tokens // 2)


def make_plan(settings: ModelSettings, source: checkpoint.Checkpoint) -> tuple[Plan, int]:
    """Plan where the model goes; returns the plan and how many tokens of context it is made for."""
    plan, _, context_tokens = _plan(settings, source)
    return plan, context_tokens


def list_modules(settings: ModelSettings, source: checkpoint.Checkpoint, *, depth: int | None) -> list[dict[str, Any]]:
    """The model's modules as `shardline layers --json` prints them."""
    plan, skeleton, _ = _plan(settings, source)
    return placement.modules(skeleton, plan, depth=depth)


def _plan(settings: ModelSettings, source: checkpoint.Checkpoint) -> tuple[Plan, Skeleton, int]:
    config = source.config()
    tokens = context_tokens(settings, config)

    def plan_in(dtype: torch.dtype) -> tuple[Plan, Skeleton, int]:
        skeleton = build_skeleton(config, dtype=dtype, context_tokens=tokens, prefill_tokens=PREFILL_STEP)
        return placement.place(skeleton, settings, context_tokens=tokens), skeleton, tokens

    dtype = source.dtype(settings.dtype, config)
    planned = plan_in(dtype)
    on_cpu = {share.device for share in planned[0].devices} <= {"cpu", "disk"}
    if settings.dtype == "auto" and dtype == torch.float16 and on_cpu:
        return plan_in(torch.bfloat16)  # as large, and many times faster there
    return planned


def open_runner(settings: ModelSettings, report: Report) -> Runner:
    """Find the model, plan, load it and let it read one token; raises `EngineError` or `SettingsError`."""
    source = checkpoint.find(settings, report)
    plan, context_tokens = make_plan(settings, source)
    if not plan.fits:
        raise PlacementError(plan.refusal)
    devices.check_present([share.device for share in plan.devices])
    codec = Codec.of(source)  # before the weights: a bad tokenizer is known at once
    model = transformers.load(source, plan, report, offload_folder=settings.offload_folder)
    runner = Runner(plan=plan, model=model, codec=codec, context_tokens=context_tokens)
    report(Progress(activity="Warming up"))
    warm_up = Request(document="", prefix="a", max_tokens=1)
    for _ in runner.complete(warm_up, threading.Event()):
        pass
    return runner
