"""Warming: a prompt is read ahead, gives way to everything, and takes nothing from the documents in use."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shardline.engine import Request, Usage
from shardline.engine.generation.decoding import SHORT_PREFILL_STEP
from shardline.engine.generation.kv_cache_pool import KVCaches
from shardline.engine.local.engine import LocalEngine
from shardline.engine.local.runner import MAX_CACHES, Runner
from shardline.engine.plan import Plan
from shardline.engine.tokenization.infilling import FAMILIES, Infilling
from shardline.engine.tokenization.prompt import build, known_ahead
from shardline.errors import EngineError
from shardline.setting_values import InfillingFormat
from shardline.settings import ModelSettings
from tests import tiny
from tests.engine.echo import Echo, table
from tests.engine.kv_pools import of
from tests.engine.tiny_runner import CODE, open_tiny, text

pytestmark = pytest.mark.slow

LONG = CODE * 40


class Interrupted(Echo):
    """An echo whose `passes`-th pass is disturbed: the event is set, or it fails."""

    def __init__(self, *, at: int, by: threading.Event | None) -> None:
        super().__init__(torch.zeros(400, 400, 1).expand(400, 400, 400))
        self._at = at
        self._by = by

    def forward(self, ids: Sequence[int], memory: Echo.Memory, *, every: bool = False) -> Tensor:
        logits = super().forward(ids, memory, every=every)
        if self.passes == self._at and self._by:
            self._by.set()
        elif self.passes == self._at:
            raise RuntimeError("The device is gone.")
        return logits


def with_model(folder: Path, model: Echo) -> Runner:
    codec = open_tiny(folder).codec
    return Runner(
        plan=Plan(model="", dtype="", device_map={}, devices=()), model=model, codec=codec, context_tokens=512
    )


def asked(document: str, prefix: str, suffix: str = "", max_tokens: int = 8) -> Request:
    return Request(document=document, prefix=prefix, suffix=suffix, max_tokens=max_tokens)


def usage_of(runner: Runner, request: Request) -> Usage:
    return list(runner.complete(request, threading.Event()))[-1].usage


def unread(usage: Usage) -> int:
    return usage.prompt_tokens - usage.cached_tokens


def test_what_was_warmed_is_not_read_again_and_the_text_is_the_same(tiny_folder: Path) -> None:
    runner = open_tiny(tiny_folder)
    for prefix in (LONG, CODE, LONG[:700]):
        runner.forget("d")
        cold = text(runner, prefix)
        runner.forget("d")
        runner.warm(asked("d", prefix), threading.Event())
        assert unread(usage_of(runner, asked("d", prefix))) == 1
        assert text(runner, prefix) == cold


def test_at_the_top_of_a_document_what_will_stand_before_the_cursor_is_read(tiny_folder: Path) -> None:
    runner = open_tiny(tiny_folder)
    runner.warm(asked("d", "", suffix=LONG), threading.Event())
    for end in (600, 60, 20):
        assert unread(usage_of(runner, asked("d", LONG[:end]))) <= 3
        runner.warm(asked("d", "", suffix=LONG), threading.Event())
    for nothing in (asked("d", ""), asked("empty", "")):
        runner.warm(nothing, threading.Event())


@pytest.mark.parametrize(("infilling", "common"), [("psm", True), ("spm", False), ("off", True)])
def test_the_top_is_read_as_the_prompts_below_will_have_it(
    tiny_folder: Path, infilling: InfillingFormat, common: bool
) -> None:
    codec = open_tiny(tiny_folder).codec
    sentinels = {"<fim_prefix>": 390, "<fim_suffix>": 391, "<fim_middle>": 392}
    codec.infilling = Infilling(family=FAMILIES[0], sentinels=sentinels, ends=frozenset())
    for budget in (64, 400):
        opened = Request(document="d", prefix="", suffix=LONG, infilling=infilling)
        ahead = known_ahead(opened, codec, budget=budget)
        assert bool(ahead) == common
        below = Request(document="d", prefix=LONG[:70], suffix=LONG[70:], infilling=infilling)
        prompt = build(below, codec, budget=budget)
        before_suffix = prompt.ids[: prompt.ids.index(391)] if infilling == "psm" else prompt.ids
        assert ahead[: len(before_suffix)] == before_suffix[: len(ahead)] or not common
        assert len(ahead) <= budget


def test_it_ends_within_a_step_of_being_told(tiny_folder: Path) -> None:
    ended = threading.Event()
    model = Interrupted(at=2, by=ended)
    runner = with_model(tiny_folder, model)
    runner.warm(asked("d", LONG), ended)
    assert model.passes == 2
    assert usage_of(runner, asked("d", LONG)).cached_tokens == 2 * SHORT_PREFILL_STEP
    runner.warm(asked("e", LONG), ended)
    assert usage_of(runner, asked("e", LONG)).cached_tokens == 0


def test_one_that_fails_leaves_a_cache_that_can_be_used(tiny_folder: Path) -> None:
    runner = with_model(tiny_folder, Interrupted(at=2, by=None))
    with pytest.raises(RuntimeError):
        runner.warm(asked("d", LONG), threading.Event())
    assert usage_of(runner, asked("d", LONG)).cached_tokens == 0
    assert unread(usage_of(runner, asked("d", LONG))) == 1


def test_fifty_documents_that_are_opened_take_nothing_from_those_in_use(tiny_folder: Path) -> None:
    runner = open_tiny(tiny_folder)
    in_use = [str(number) for number in range(MAX_CACHES)]
    for document in in_use:
        usage_of(runner, asked(document, CODE))
    for number in range(50):
        runner.warm(asked(f"opened {number}", CODE), threading.Event())
    assert [unread(usage_of(runner, asked(document, CODE))) for document in in_use] == [1] * MAX_CACHES


def test_what_was_only_warmed_makes_room_before_what_was_used() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), max_caches=2)
    used, opened = of(caches, "used"), caches.to_warm([1, 2], "opened")
    assert caches.to_warm([1, 2], "used") is used
    assert caches.to_warm([1, 2], "opened") is opened
    assert caches.to_warm([1, 2], "newer") is opened
    other = of(caches, "other")
    assert other is opened
    assert of(caches, "used") is used
    assert of(caches, "other") is other
    assert caches.to_warm([1, 2], "opened") is None
    caches.forget("used")
    assert caches.to_warm([1, 2], "opened") is not None


@pytest.fixture(scope="module")
def roomy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny model with a context in which warming takes many steps."""
    return tiny.make(tmp_path_factory.mktemp("roomy"), max_position_embeddings=8192)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(ModelSettings(name=str(folder), context_tokens=8192))
    try:
        await engine.load(lambda _: None)
        yield engine
    finally:
        engine.close()


async def usage_from(engine: LocalEngine, request: Request) -> Usage:
    return [chunk.usage async for chunk in engine.complete(request)][-1]


HUGE = CODE * 250


async def test_a_request_ends_the_warming_and_is_answered(roomy_folder: Path) -> None:
    async with opened(roomy_folder) as engine:
        _, usage = await asyncio.gather(engine.warm(asked("d", HUGE)), usage_from(engine, asked("e", CODE)))
        assert usage.completion_tokens == 8
        usage = await usage_from(engine, asked("d", HUGE))
        assert usage.cached_tokens < usage.prompt_tokens // 2
        assert usage.prompt_tokens > 50 * SHORT_PREFILL_STEP


async def test_a_newer_warming_ends_it_too(roomy_folder: Path) -> None:
    async with opened(roomy_folder) as engine:
        await asyncio.gather(
            engine.warm(asked("d", HUGE)),
            engine.warm(asked("e", HUGE)),
            engine.warm(asked("f", CODE)),
        )
        for document in "de":
            usage = await usage_from(engine, asked(document, HUGE))
            assert usage.cached_tokens < usage.prompt_tokens // 2


async def test_warming_waits_for_the_requests_before_it(roomy_folder: Path) -> None:
    async with opened(roomy_folder) as engine:
        usage, _ = await asyncio.gather(usage_from(engine, asked("e", CODE)), engine.warm(asked("d", CODE)))
        assert usage.completion_tokens == 8
        assert unread(await usage_from(engine, asked("d", CODE))) == 1


async def test_cancelling_the_task_ends_the_warming(roomy_folder: Path) -> None:
    async with opened(roomy_folder) as engine:
        task = asyncio.create_task(engine.warm(asked("d", HUGE)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        usage = await usage_from(engine, asked("d", HUGE))
        assert usage.cached_tokens < usage.prompt_tokens // 2


async def test_a_model_that_is_not_loaded_cannot_be_warmed() -> None:
    engine = LocalEngine(ModelSettings(name="/no/such/folder"))
    with pytest.raises(EngineError):
        await engine.warm(asked("d", CODE))
    engine.close()
