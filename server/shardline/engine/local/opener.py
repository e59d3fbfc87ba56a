"""The opening of a runner: checkpoint, plan, weights and draft model."""

import threading
import traceback
from typing import Any

from shardline import threads
from shardline.engine import Progress, Report, Request
from shardline.engine.checkpoints import checkpoint
from shardline.engine.generation.draft_model import DraftModel
from shardline.engine.local.runner import Runner
from shardline.engine.models import Model
from shardline.engine.models.llama import loader
from shardline.engine.models.llama.compilation import compile_step
from shardline.engine.placement import devices, draft_placement, planner, room
from shardline.engine.placement.planner import Planned
from shardline.engine.plan import Plan, main_device
from shardline.engine.tokenization.tokenizer import Codec
from shardline.errors import PlacementError
from shardline.settings import ModelSettings


def open_runner(settings: ModelSettings, report: Report, beside: Plan | None = None) -> Runner:
    """Find the model, plan, load it and run one token; raises `EngineError` or `SettingsError`.

    `beside` is the plan of a model that stays until this one is ready; see `Engine.load`.
    """
    source = checkpoint.find(settings, report)
    if beside:
        settings = room.as_if_alone(settings, beside)
    planned = draft_placement.with_draft(planner.make(settings, source), settings, report)
    if not planned.plan.fits:
        raise PlacementError(planned.plan.refusal)
    devices.check_present([share.device for share in planned.plan.devices])
    if beside:
        room.check(planned.plan)
    codec = Codec.of(source)  # before the weights, so that a bad tokenizer fails at once
    try:
        return _fill(planned, settings, codec, report)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # the error outlives the weights in its frames
        devices.give_back()
        raise


def _fill(planned: Planned, settings: ModelSettings, codec: Codec, report: Report) -> Runner:
    model, compilation = _load(planned, settings, report)
    if main_device(share.device for share in planned.plan.devices) != "cpu":
        threads.use_any_cpu()  # a GPU should not wait for another program on this CPU
    runner = Runner(
        plan=planned.plan,
        model=model,
        codec=codec,
        context_tokens=planned.context_tokens,
        compilation=compilation,
        draft_model=_load_draft(planned.draft, settings, codec, report) if planned.draft else None,
    )
    report(Progress(activity="Warming up"))
    warm_up = Request(document="", prefix="a", max_tokens=1)
    for _ in runner.complete(warm_up, threading.Event()):
        pass
    runner.forget(warm_up.document)
    return runner


def _load(planned: Planned, settings: ModelSettings, report: Report) -> tuple[Model[Any], threading.Thread | None]:
    """Return the model, and the thread that compiles its decode step."""
    if planned.shape is None:
        from shardline.engine.models import hf_transformers  # lazy: imports transformers (1 s)

        folder = settings.offload_folder
        return hf_transformers.load(planned.source, planned.plan, report, offload_folder=folder), None
    model = loader.load(
        planned.source,
        planned.plan,
        planned.shape,
        report,
        quantization=settings.quantization,
        capacity=planned.context_tokens,
    )
    return model, compile_step(model)


def _load_draft(planned: Planned, settings: ModelSettings, codec: Codec, report: Report) -> DraftModel:
    with draft_placement.naming_the_draft():
        model, _ = _load(planned, settings, report)
    known = min(codec.tokenizer.get_vocab_size(), planned.source.values.get("vocab_size") or codec.size)
    return DraftModel(model, vocabulary=known, context_tokens=planned.context_tokens)
