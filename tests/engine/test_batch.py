"""Requests that are answered together say what each says alone, get their turns, and do not hurt each other."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shardline.engine import Chunk, Request
from shardline.engine.generation.decoding import SHORT_PREFILL_STEP
from shardline.engine.generation.steps import Cancelled
from shardline.engine.local.engine import LocalEngine
from shardline.engine.local.runner import MAX_CACHES, Runner
from shardline.engine.tokenization.tokenizer import Codec
from shardline.errors import GenerationError
from shardline.settings import ModelSettings
from tests.engine.asked import Asked, finish
from tests.engine.collecting import collect
from tests.engine.crowded import Crowded, crowded
from tests.engine.tiny_runner import CODE, open_tiny

pytestmark = pytest.mark.slow


def request(document: str, prefix: str = CODE, **options: Any) -> Request:
    return Request(document=document, prefix=prefix, **{"max_tokens": 12, **options})


OPTIONS: Sequence[dict[str, Any]] = [
    {},
    {"max_tokens": 30},
    {"temperature": 1.0},
    {"suffix": "\nx = 1\n"},
    {"healing": False, "max_tokens": 1},
    {"temperature": 1.5, "top_k": 9},
    {"max_tokens": 20, "choice": 1},
    {"stop": ("e",)},
]

EIGHT = [
    request(str(number), CODE[number:] * (1 + 3 * (number % 3)), seed=number, **options)
    for number, options in enumerate(OPTIONS)
]


@pytest.mark.parametrize("engine", ["auto", "transformers"])
@pytest.mark.parametrize("steps_between", [0, 1, 3])
def test_eight_together_say_what_each_says_alone(tiny_folder: Path, engine: str, steps_between: int) -> None:
    alone, together = (open_tiny(tiny_folder, dtype="float32", engine=engine) for _ in range(2))
    expected = []
    for one in EIGHT:
        asked = Asked(alone, one)
        finish(alone)
        expected.append(asked.text)
    several = []
    for one in EIGHT:
        several.append(Asked(together, one))
        for _ in range(steps_between):
            together.step()
    finish(together)
    assert [asked.text for asked in several] == expected
    assert [asked.ended.result() for asked in several] == [None] * len(EIGHT)
    assert len(set(expected)) > 5


def writing(peer: Crowded, runner: Runner, count: int) -> list[Asked]:
    """So many requests whose first tokens are out."""
    several = [Asked(runner, request(f"writes {number}", max_tokens=60)) for number in range(count)]
    while not all(asked.tokens for asked in several):
        runner.step()
    return several


def test_all_that_write_get_a_token_from_each_pass(tiny_folder: Path) -> None:
    peer, runner = crowded(tiny_folder, full=())
    several = writing(peer, runner, MAX_CACHES)
    passes, before = peer.passes, [asked.tokens for asked in several]
    for _ in range(10):
        runner.step()
    assert peer.passes == passes + 10
    assert [asked.tokens for asked in several] == [tokens + 10 for tokens in before]


def test_a_long_prompt_and_those_that_write_do_not_wait_for_each_other(tiny_folder: Path) -> None:
    peer, runner = crowded(tiny_folder, full=())
    several = writing(peer, runner, 3)
    newcomer = Asked(runner, request("new", CODE * 15))
    before = [asked.tokens for asked in several]
    steps = 0
    while not newcomer.tokens:
        runner.step()
        steps += 1
    read = newcomer.chunks[0].usage.prompt_tokens + sum(
        after.usage.prompt_tokens - chunk.usage.prompt_tokens
        for chunk, after in zip(newcomer.chunks, newcomer.chunks[1:], strict=False)
    )
    assert steps == -(-read // SHORT_PREFILL_STEP) > 4
    assert [asked.tokens for asked in several] == [tokens + steps for tokens in before]


def test_one_that_is_cancelled_leaves_within_a_step_and_the_others_go_on(tiny_folder: Path) -> None:
    expected = writing(*crowded(tiny_folder, full=()), 1)[0]
    peer, runner = crowded(tiny_folder, full=())
    one, other = writing(peer, runner, 2)
    one.cancelled.set()
    said = one.text
    runner.step()
    assert isinstance(one.ended.exception(), Cancelled)
    assert one.text == said
    finish(runner)
    assert other.ended.result() is None
    assert other.tokens == 60
    assert other.text.startswith(expected.text)
    again = Asked(runner, request("writes 0", max_tokens=60))
    finish(runner)
    assert again.text.startswith(said)


def test_the_newest_of_a_document_comes_first_and_documents_take_turns(tiny_folder: Path) -> None:
    _, runner = crowded(tiny_folder, full=(), caches=1)
    order: list[str] = []
    for name in ("a1", "a2", "a3", "b1", "b2"):
        asked = Asked(runner, request(name[0], max_tokens=2))
        asked.ended.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
    finish(runner)
    assert order == ["a3", "b2", "a2", "b1", "a1"]


def test_two_of_one_document_never_run_at_once(tiny_folder: Path) -> None:
    _, runner = crowded(tiny_folder, full=())
    first, second = (Asked(runner, request("d", CODE[:end])) for end in (30, 20))
    while not second.ended.done():
        assert not first.chunks
        runner.step()
    finish(runner)
    assert first.ended.result() is None


def test_no_more_run_at_once_than_have_room_and_none_loses_its_cache(tiny_folder: Path) -> None:
    peer, runner = crowded(tiny_folder, full=(), caches=2)
    alone = [Asked(runner, request(document)) for document in "abcde"]
    finish(runner)
    together = [Asked(runner, request(document)) for document in "abcde"]
    while not runner.is_idle:
        runner.step()
        assert peer.held <= 2
        assert sum(bool(asked.chunks) and not asked.ended.done() for asked in together) <= 2
    assert [asked.text for asked in together] == [asked.text for asked in alone]


@pytest.mark.parametrize("broken", [{"temperature": 1.0, "top_k": -1}, {"prompt_ids": (4000,)}])
def test_an_error_of_one_is_told_to_that_one_alone(tiny_folder: Path, broken: dict[str, Any]) -> None:
    peer, runner = crowded(tiny_folder, full=())
    one, other = writing(peer, runner, 2)
    third = Asked(runner, request("third", **broken))
    finish(runner)
    assert third.ended.exception() is not None
    assert [one.ended.result(), other.ended.result()] == [None, None]
    assert one.text == other.text != ""


def test_where_no_memory_is_left_all_that_ran_are_told_and_the_next_are_right(tiny_folder: Path) -> None:
    peer, runner = crowded(tiny_folder, full=())
    several = writing(peer, runner, 3)
    expected = several[0].text
    peer.full = (peer.passes + 1,)
    runner.step()
    for asked in several:
        with pytest.raises(GenerationError, match=r"ran out of memory.*model\.contextTokens"):
            asked.ended.result()
    assert peer.held == 0
    again = writing(peer, runner, 3)
    finish(runner)
    assert all(asked.text.startswith(expected) for asked in again)


async def test_clients_of_one_engine_are_answered_together_and_leave_when_they_like(tiny_folder: Path) -> None:
    peer, runner = crowded(tiny_folder, full=())
    with closing(LocalEngine(ModelSettings(), lambda *_: runner)) as engine:
        await engine.load(lambda _: None)
        requests = [request(str(number), CODE[number:], max_tokens=40) for number in range(20)]
        alone = [await collect(engine, one) for one in requests]
        passes = peer.passes
        began = asyncio.Event()

        async def endless() -> None:
            async for _ in engine.complete(request("endless", max_tokens=250)):
                began.set()

        task = asyncio.create_task(endless())
        await began.wait()
        task.cancel()
        assert await asyncio.gather(*(collect(engine, one) for one in requests)) == alone
        assert peer.passes - passes < passes / 2
        with pytest.raises(asyncio.CancelledError):
            await task
    await engine.wait_closed()


def pieces(runner: Runner, one: Request) -> Sequence[Chunk]:
    asked = Asked(runner, one)
    finish(runner)
    asked.ended.result()
    return asked.chunks


def test_exact_tokens_are_continued_as_their_text_is(tiny_folder: Path) -> None:
    runner = open_tiny(tiny_folder)
    codec: Codec = runner.codec
    ids = (*codec.begin_ids, *codec.encode(CODE).ids)
    expected = pieces(runner, request("d", healing=False))
    found = pieces(runner, request("d", "", prompt_ids=ids))
    assert [chunk.text for chunk in found] == [chunk.text for chunk in expected]
    assert found[-1].usage.prompt_tokens == len(ids)


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [((400,), "the token 400; the model knows those from 0 to 399"), ((-1,), "token -1"), ((5,) * 501, "501 tokens")],
)
def test_tokens_that_the_model_cannot_read_are_refused(tiny_folder: Path, ids: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(GenerationError, match=sentence):
        pieces(open_tiny(tiny_folder), request("d", "", prompt_ids=ids))


@pytest.mark.parametrize("logprobs", [0, 3])
def test_each_token_is_told_with_the_likeliest_in_its_place(tiny_folder: Path, logprobs: int) -> None:
    runner = open_tiny(tiny_folder)
    one = request("d", healing=False, logprobs=logprobs)
    chunks = pieces(runner, one)
    tokens = [token for chunk in chunks for token in chunk.tokens]
    assert "".join(token.text for token in tokens) == "".join(chunk.text for chunk in chunks)
    assert len(tokens) == chunks[-1].usage.completion_tokens
    assert sum(token.logprob for token in tokens) == pytest.approx(chunks[-1].logprob)
    for token in tokens:
        assert len(token.top) == logprobs
        assert [logprob for _, logprob in token.top] == sorted((logprob for _, logprob in token.top), reverse=True)
        if logprobs:
            assert token.top[0][0] == token.text
            assert token.top[0][1] == pytest.approx(token.logprob, abs=1e-4)
    assert not any(chunk.tokens for chunk in pieces(runner, replace(one, logprobs=None)))
