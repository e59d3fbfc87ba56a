"""The laws of the engine, on a real tiny model: deterministic, the same with and without a cache, cancellable."""

import threading
from pathlib import Path

import pytest

from shardline.engine import FinishReason, Request
from shardline.engine.local.runner import Runner
from shardline.engine.plan import KIB, PREFILL_STEP
from tests import tiny
from tests.engine.tiny_runner import CODE, chunks, open_tiny, text


@pytest.fixture(scope="module")
def runner(tiny_folder: Path) -> Runner:
    return open_tiny(tiny_folder)


def test_greedy_is_deterministic(runner: Runner) -> None:
    assert text(runner, CODE) == text(runner, CODE) != ""


def test_cached_equals_uncached(runner: Runner, tiny_folder: Path) -> None:
    prefixes = [CODE[:end] for end in (10, 11, 12, 40, 41, 30, len(CODE), len(CODE) - 1, 5)]
    fresh = [text(open_tiny(tiny_folder), prefix) for prefix in prefixes]
    assert [text(runner, prefix) for prefix in prefixes] == fresh


def test_only_the_part_of_the_prompt_that_changed_is_computed(runner: Runner) -> None:
    text(runner, CODE)
    usage = chunks(runner, CODE + "    ")[-1].usage
    assert 0 < usage.prompt_tokens - usage.cached_tokens <= 3
    assert chunks(runner, CODE)[-1].usage.cached_tokens == chunks(runner, CODE)[-1].usage.prompt_tokens - 1


def test_a_long_prompt_is_read_in_steps_and_gives_the_same(tiny_folder: Path) -> None:
    long = CODE * 12
    at_once, in_parts = open_tiny(tiny_folder), open_tiny(tiny_folder)
    usage = chunks(at_once, long)[-1].usage
    assert usage.prompt_tokens > PREFILL_STEP
    for end in range(0, len(long), 150):
        text(in_parts, long[:end], max_tokens=1)
    assert text(in_parts, long) == text(at_once, long)


def test_the_last_chunk_alone_has_a_finish_reason(runner: Runner) -> None:
    stream = chunks(runner, CODE, max_tokens=5)
    assert [chunk.finish_reason for chunk in stream[:-1]] == [None] * (len(stream) - 1)
    assert stream[-1].finish_reason is FinishReason.LENGTH
    assert stream[-1].usage.completion_tokens == 5


def test_a_stop_sequence_ends_the_text_and_is_no_part_of_it(runner: Runner) -> None:
    whole = text(runner, CODE)
    stop = whole[7:9]
    stream = chunks(runner, CODE, stop=(stop,))
    assert "".join(chunk.text for chunk in stream) == whole[: whole.index(stop)]
    assert stream[-1].finish_reason is FinishReason.STOP


@pytest.mark.parametrize(
    "options", [{"temperature": 1.0}, {"temperature": 1.0, "top_p": 0.9}, {"temperature": 2.0, "top_k": 5}]
)
def test_a_seed_repeats_itself_and_another_does_not(runner: Runner, options: dict[str, object]) -> None:
    assert text(runner, CODE, seed=1, **options) == text(runner, CODE, seed=1, **options)
    assert len({text(runner, CODE, seed=seed, **options) for seed in range(5)}) > 1


def test_other_choices_begin_with_other_tokens_and_go_on_greedily(runner: Runner) -> None:
    texts = [text(runner, CODE, choice=choice, healing=False) for choice in range(4)]
    assert len(set(texts)) == 4
    assert texts[0] == text(runner, CODE, healing=False)


def test_probabilities_add_up_along_the_stream(runner: Runner) -> None:
    stream = chunks(runner, CODE)
    sums = [chunk.logprob for chunk in stream]
    assert sums == sorted(sums, reverse=True)
    assert sums[-1] < 0
    greedy, other = (chunks(runner, CODE, max_tokens=1, choice=choice)[-1].logprob for choice in (0, 1))
    assert greedy > other


def test_cancelled_at_any_step_it_ends_there_and_the_cache_stays_right(runner: Runner, tiny_folder: Path) -> None:
    whole = text(open_tiny(tiny_folder), CODE)
    for steps in range(1, 6):
        cancelled = threading.Event()
        stream = runner.complete(Request(document="d", prefix=CODE, max_tokens=24), cancelled)
        seen = [next(stream) for _ in range(steps)]
        cancelled.set()
        assert list(stream) == []
        assert whole.startswith("".join(chunk.text for chunk in seen))
        assert text(runner, CODE) == whole


def test_each_step_of_a_long_prompt_is_told_before_it_is_read_so_that_what_is_cancelled_counts(
    tiny_folder: Path,
) -> None:
    runner = open_tiny(tiny_folder)
    request = Request(document="d", prefix=CODE * 20, max_tokens=24)
    told = [chunk.usage.prompt_tokens for chunk in runner.complete(request, threading.Event())]
    assert told[0] == PREFILL_STEP < told[1] == told[-1]
    runner.forget("d")
    cancelled = threading.Event()
    stream = runner.complete(request, cancelled)
    next(stream)
    next(stream)  # the first step is read, the second one told
    cancelled.set()
    assert list(stream) == []
    assert chunks(runner, CODE * 20)[-1].usage.cached_tokens == told[0]


def test_an_empty_document_can_be_completed(runner: Runner) -> None:
    assert chunks(runner, "")[-1].finish_reason is not None


def test_a_prompt_longer_than_the_context_is_cut(runner: Runner) -> None:
    usage = chunks(runner, CODE * 100)[-1].usage
    assert usage.prompt_tokens + 24 <= 512


def test_offloaded_to_disk_gives_the_same_tokens(runner: Runner, tiny_folder: Path, tmp_path: Path) -> None:
    half = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "cpu", "model.layers.2": "disk"}
    half |= {"model.layers.3": "disk", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "disk"}
    sharded = open_tiny(tiny_folder, device_map=half, offload_folder=str(tmp_path / "offload"))
    assert sharded.plan.device_map["model.layers.3"] == "disk"
    for prefix in ("def function(", CODE, CODE[:20], CODE + "    print"):
        assert text(sharded, prefix) == text(runner, prefix)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_plan_that_spills_to_disk_by_memory_gives_the_same_tokens(
    tiny_folder: Path, tmp_path: Path, dtype: str
) -> None:
    whole = open_tiny(tiny_folder, dtype=dtype)
    too_little = whole.plan.devices[0].used - 10 * KIB
    sharded = open_tiny(tiny_folder, dtype=dtype, max_memory={"cpu": too_little}, offload_folder=str(tmp_path))
    assert set(sharded.plan.device_map.values()) == {"cpu", "disk"}
    alike = open_tiny(tiny_folder, dtype=dtype, engine="transformers")  # rounds as what is on the disk does
    assert text(sharded, CODE) == text(alike, CODE)


def test_two_models_share_an_offload_folder_without_mixing(tmp_path: Path) -> None:
    first = tiny.make(tmp_path / "first", num_hidden_layers=2)
    second = tiny.make(tmp_path / "second", num_hidden_layers=3)
    for folder in (first, second, first):
        offloaded = open_tiny(folder, device_map="disk", offload_folder=str(tmp_path / "offload"))
        assert text(offloaded, CODE) == text(open_tiny(folder), CODE)
