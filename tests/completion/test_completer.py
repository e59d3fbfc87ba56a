"""The newest request of a document wins, equal ones are answered together, and cancelling ends the work."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shardline.completion import Source, Suggestion
from shardline.completion.completer import Answer, Completer, Origin
from shardline.completion.stream import LINGER_SECONDS
from shardline.engine import Request
from shardline.engine.scripted import ScriptedEngine
from shardline.errors import SupersededError
from shardline.settings import CompletionSettings, GenerationSettings, Settings


def source(before: str, document: str = "d") -> Source:
    return Source(document=document, language="python", lines=[before], line=0, column=len(before))


class Gate:
    """Holds a stream before each chunk until it is opened; knows when somebody waits at it."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.reached = asyncio.Event()

    async def __call__(self, _: Request) -> None:
        self.reached.set()
        await self.opened.wait()


def make(script: Callable[[Request], str], gate: Gate | None = None) -> tuple[Completer, ScriptedEngine]:
    engine = ScriptedEngine(script, gate)
    return Completer(engine, Settings()), engine


async def ask(completer: Completer, where: Source) -> "asyncio.Task[Suggestion]":
    task = asyncio.create_task(completer.suggest(where))
    await asyncio.sleep(0)
    return task


async def test_a_suggestion_is_generated_ended_and_trimmed() -> None:
    completer, engine = make(lambda _: " a + b\n\nprint()")
    suggestion = await completer.suggest(source("return"))
    assert suggestion.text == " a + b"
    assert suggestion.usage is not None
    assert engine.requests[0].prefix == "return"


async def test_generation_ends_as_soon_as_the_block_is_left() -> None:
    completer, engine = make(lambda _: "a\nb" + "c" * 50)
    await completer.suggest(source("    x = "))
    assert engine.cancelled == engine.requests


async def test_the_settings_of_generation_reach_the_engine() -> None:
    completer, engine = make(lambda _: "x")
    wish = GenerationSettings(max_tokens=7, temperature=0.5, top_p=0.9, top_k=3, seed=1, stop=("#",))
    completer.settings = Settings(generation=wish)
    await completer.suggest(source("a"))
    request = engine.requests[0]
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k, request.seed) == (7, 0.5, 0.9, 3, 1)
    assert "#" in request.stop


async def test_a_newer_request_of_the_same_document_supersedes() -> None:
    gate = Gate()
    completer, engine = make(lambda _: "x", gate)
    old = await ask(completer, source("a"))
    await gate.reached.wait()
    new = await ask(completer, source("ab"))
    with pytest.raises(SupersededError):
        await old
    gate.opened.set()
    assert (await new).text == "x"
    assert [request.prefix for request in engine.requests] == ["a", "ab"]


async def test_other_documents_are_left_alone() -> None:
    gate = Gate()
    completer, engine = make(lambda _: "x", gate)
    first = await ask(completer, source("a", "one"))
    second = await ask(completer, source("a", "two"))
    gate.opened.set()
    assert [(await first).text, (await second).text] == ["x", "x"]
    assert engine.cancelled == []


async def test_equal_requests_are_answered_by_one_generation() -> None:
    gate = Gate()
    completer, engine = make(lambda _: "x", gate)
    both = [await ask(completer, source("a")), await ask(completer, source("a"))]
    gate.opened.set()
    assert [(await task).text for task in both] == ["x", "x"]
    assert len(engine.requests) == 1


async def test_cancelling_the_only_request_ends_the_generation() -> None:
    gate = Gate()
    completer, engine = make(lambda _: "x", gate)
    task = await ask(completer, source("a"))
    await gate.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.opened.set()
    assert (await completer.suggest(source("b"))).text == "x"
    assert [request.prefix for request in engine.cancelled] == ["a"]


async def test_cancelling_one_of_two_leaves_the_other() -> None:
    gate = Gate()
    completer, engine = make(lambda _: "x", gate)
    first, second = await ask(completer, source("a")), await ask(completer, source("a"))
    await gate.reached.wait()
    first.cancel()
    gate.opened.set()
    assert (await second).text == "x"
    assert engine.cancelled == []


async def test_a_closed_document_ends_its_generation() -> None:
    gate = Gate()
    completer, engine = make(lambda _: "x", gate)
    task = await ask(completer, source("a"))
    await gate.reached.wait()
    completer.cancel("d")
    with pytest.raises(SupersededError):
        await task
    assert len(engine.cancelled) == 1


class Slow:
    """Lets so many chunks of a stream through as it is told to."""

    def __init__(self) -> None:
        self._permits = asyncio.Semaphore(0)
        self.waiting = 0

    async def __call__(self, _: Request) -> None:
        self.waiting += 1
        await self._permits.acquire()
        self.waiting -= 1

    async def let(self, chunks: int) -> None:
        for _ in range(chunks):
            self._permits.release()
        for _ in range(5 * chunks + 5):
            await asyncio.sleep(0)


def slow(text: str, **wish: Any) -> tuple[Completer, ScriptedEngine, Slow]:
    gate = Slow()
    engine = ScriptedEngine(lambda _: text, gate)
    return Completer(engine, Settings(completion=CompletionSettings(**{"prepare": False, **wish}))), engine, gate


async def begun(completer: Completer, where: Source, **how: Any) -> "asyncio.Task[Answer]":
    task = asyncio.create_task(completer.answer(where, **how))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_a_key_that_agrees_joins_the_running_stream_and_the_older_request_is_superseded() -> None:
    completer, engine, gate = slow("result + 1")
    old = await begun(completer, source("x = "))
    await gate.let(3)
    new = await begun(completer, source("x = resu"))
    with pytest.raises(SupersededError):
        await old
    await gate.let(20)
    answer = await new
    assert (answer.origin, answer.suggestions[0].text) == (Origin.JOINED, "lt + 1")
    assert len(engine.requests) == 1


async def test_a_key_that_disagrees_ends_the_stream_and_begins_another() -> None:
    completer, engine, gate = slow("result")
    old = await begun(completer, source("x = "))
    await gate.let(3)
    new = await begun(completer, source("x = ry"))
    await gate.let(20)
    assert (await new).origin is Origin.GENERATED
    assert [request.prefix for request in engine.requests] == ["x = ", "x = ry"]
    assert [request.prefix for request in engine.cancelled] == ["x = "]
    with pytest.raises(SupersededError):
        await old


async def test_a_stream_that_turns_out_to_disagree_ends_and_another_begins() -> None:
    completer, engine, gate = slow("result")
    await begun(completer, source("x = "))
    new = await begun(completer, source("x = ry"))
    await gate.let(1)
    assert len(engine.requests) == 1
    await gate.let(1)
    assert [request.prefix for request in engine.requests] == ["x = ", "x = ry"]
    await gate.let(20)
    assert (await new).suggestions[0].text == "result"
    assert [request.prefix for request in engine.cancelled] == ["x = "]


@pytest.mark.parametrize("typed", [True, False])
async def test_a_stream_outlives_its_cancelled_request_only_if_a_key_was_typed_that_agrees(typed: bool) -> None:
    completer, engine, gate = slow("result")
    old = await begun(completer, source("x = "))
    await gate.let(1)
    if typed:
        completer.follow(source("x = r"))
    old.cancel()
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(1.5 * LINGER_SECONDS, over.set_result, None)
    await over
    assert bool(engine.cancelled) is not typed
    new = await begun(completer, source("x = re"))
    await gate.let(20)
    assert (await new).suggestions[0].text == ("sult" if typed else "result")
    assert len(engine.requests) == (1 if typed else 2)


async def test_a_document_that_goes_on_otherwise_ends_its_stream_before_anybody_asks() -> None:
    completer, engine, gate = slow("result")
    old = await begun(completer, source("x = "))
    await gate.let(1)
    completer.follow(source("x = y"))
    with pytest.raises(SupersededError):
        await old
    assert len(engine.cancelled) == 1


async def test_when_time_is_up_complete_lines_are_the_answer_and_the_rest_grows_on() -> None:
    completer, engine, gate = slow("\n    a = 1\n    b = 2\n    c = 3", time_budget=1)
    task = await begun(completer, source("def f():"))
    await gate.let(len("\n    a = 1\n"))
    answer = await task
    assert (answer.suggestions[0].text, answer.finished) == ("\n    a = 1", False)
    known = await completer.answer(source("def f():"))
    assert known.origin is Origin.KNOWN
    await gate.let(60)
    whole = await completer.answer(source("def f():"))
    assert whole.suggestions[0].text == "\n    a = 1\n    b = 2\n    c = 3"
    assert len(engine.requests) == 1
    assert engine.cancelled == []


async def test_who_joins_late_has_no_time_of_their_own() -> None:
    completer, _, gate = slow("\n    a = 1\n    b = 2", time_budget=300)
    first = await ask(completer, source("def f():"))  # which has all the time of the world
    await gate.let(len("\n    a = 1\n"))
    loop = asyncio.get_running_loop()
    most = loop.create_future()
    loop.call_later(0.3, most.set_result, None)
    await most
    answer = await begun(completer, source("def f():\n"))
    assert answer.done()
    with pytest.raises(SupersededError):
        await first
    assert ((await answer).suggestions[0].text, (await answer).finished) == ("    a = 1", False)


async def test_complete_lines_are_ready_before_the_suggestion_is_and_as_far_as_they_were_not_typed() -> None:
    completer, _, gate = slow("\n    a = 1\n    b = 2")
    task = await begun(completer, source("def f():"))
    await gate.let(len("\n    a = 1"))
    assert completer.ready(source("def f():")) is None
    await gate.let(1)
    assert (lines := completer.ready(source("def f():"))) is not None
    assert lines.text == "\n    a = 1"
    assert (lines := completer.ready(source("def f():\n    a"))) is not None
    assert lines.text == " = 1"
    assert completer.ready(source("def g():")) is None
    await gate.let(60)
    assert (await task).finished
    assert completer.ready(source("def f():")) is None


async def test_what_would_follow_is_there_when_the_suggestion_is_accepted() -> None:
    second = asyncio.Event()

    def script(request: Request) -> str:
        if request.prefix == "a = ":
            return "one"
        second.set()
        return "two"

    engine = ScriptedEngine(script)
    completer = Completer(engine, Settings())
    await completer.answer(source("a = "))
    async with asyncio.timeout(30):
        await second.wait()
    following = await completer.answer(source("a = one"))
    assert following.suggestions[0].text == "two"
    assert following.origin in (Origin.KNOWN, Origin.JOINED)
    assert [request.prefix for request in engine.requests] == ["a = ", "a = one"]


async def test_what_is_made_ahead_gives_way_to_what_is_asked_for() -> None:
    ahead = asyncio.Event()

    async def before_chunk(request: Request) -> None:
        if request.prefix == "a = one":
            ahead.set()
            await asyncio.Event().wait()

    engine = ScriptedEngine(lambda _: "one", before_chunk)
    completer = Completer(engine, Settings())
    await completer.answer(source("a = "))
    async with asyncio.timeout(30):
        await ahead.wait()
    assert (await completer.answer(source("b = "))).suggestions[0].text == "one"
    assert [request.prefix for request in engine.cancelled] == ["a = one"]


async def test_other_settings_hold_for_who_waits_already() -> None:
    completer, engine, gate = slow("result")
    waiting = await begun(completer, source("x = "))
    completer.settings = Settings(generation=GenerationSettings(max_tokens=3))
    await gate.let(20)
    assert (await waiting).suggestions[0].text == "res"
    assert [request.max_tokens for request in engine.requests] == [64, 3]


async def test_by_hand_nothing_is_waited_for_and_else_as_long_as_is_wished() -> None:
    completer, engine, _ = slow("x", debounce=5000)
    task = await begun(completer, source("a"))
    assert engine.requests == []
    task.cancel()
    await begun(completer, source("a"), by_hand=True)
    assert len(engine.requests) == 1
    completer.cancel_all()


async def test_who_types_on_while_a_key_is_waited_for_costs_nothing() -> None:
    completer, engine, _ = slow("x", debounce=5000)
    first = await begun(completer, source("a"))
    second = await begun(completer, source("ab"))
    with pytest.raises(SupersededError):
        await first
    assert engine.requests == []
    second.cancel()


async def test_a_model_that_begins_late_is_asked_at_once_and_who_types_on_joins() -> None:
    completer, engine, gate = slow("result")
    keys = [await begun(completer, source("x = "[:end])) for end in range(1, 5)]
    assert len(engine.requests) == 1
    await gate.let(20)
    *over, last = await asyncio.gather(*keys, return_exceptions=True)
    assert all(isinstance(error, SupersededError) for error in over)
    assert isinstance(last, Answer)
    assert last.suggestions[0].text == "result"
    assert len(engine.requests) == 2  # the first was made for another place, as its first letter told


async def test_warming_reads_what_a_request_would() -> None:
    completer, engine = make(lambda _: "x")
    await completer.warm(source("a"))
    await completer.suggest(source("a"))
    assert engine.warmed == engine.requests


async def test_there_is_no_warming_while_something_is_asked() -> None:
    gate = Gate()
    completer, engine = make(lambda _: "x", gate)
    task = await ask(completer, source("a", "one"))
    await completer.warm(source("a", "two"))
    assert engine.warmed == []
    gate.opened.set()
    await task
    await completer.warm(source("a", "two"))
    assert [request.document for request in engine.warmed] == ["two"]


async def test_who_wants_no_warming_gets_none() -> None:
    completer, engine = make(lambda _: "x")
    completer.settings = Settings(completion=CompletionSettings(warm=False))
    await completer.warm(source("a"))
    assert engine.warmed == []
