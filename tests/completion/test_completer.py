"""The newest request of a document wins, equal ones are answered together, and cancelling ends the work."""

import asyncio
from collections.abc import Callable

import pytest

from shardline.completion import Source, Suggestion
from shardline.completion.completer import Completer
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
    assert [request.prefix for request in engine.cancelled] == ["a"]


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
