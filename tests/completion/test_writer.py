"""Several candidates: they differ, the best comes first, and what the model is unsure of is not shown."""

from typing import Literal

import pytest

from shardline.completion.completer import Completer
from shardline.completion.writer import RERANKED
from shardline.engine import Request
from shardline.engine.scripted import ScriptedEngine
from shardline.settings import CompletionSettings, GenerationSettings, Settings
from tests.completion.cursor import at_cursor

CALL = at_cursor("x = f(‸)\nprint(x)\n")


def choices(*texts: str) -> "ScriptedEngine":
    return ScriptedEngine(lambda request: texts[min(request.choice, len(texts) - 1)])


def blind(*texts: str, best: str) -> "ScriptedEngine":
    """An engine that cannot infill, and says that the suffix follows `best` better than others."""
    return ScriptedEngine(
        lambda request: texts[min(request.choice, len(texts) - 1)], score=lambda text: float(text == best)
    )


async def test_by_hand_there_are_as_many_as_are_wanted() -> None:
    completer = Completer(choices("a", "b", "c", "d"), Settings(completion=CompletionSettings(candidates=3)))
    assert [suggestion.text for suggestion in await completer.suggest_several(CALL)] == ["a", "b", "c"]


async def test_equal_ones_and_empty_ones_are_left_out() -> None:
    completer = Completer(choices("a)", "a", "  "), Settings())
    assert [suggestion.text for suggestion in await completer.suggest_several(CALL)] == ["a"]


async def test_where_there_is_nothing_to_say_there_is_one_that_says_nothing() -> None:
    (suggestion,) = await Completer(choices(" "), Settings()).suggest_several(CALL)
    assert suggestion.text == ""
    assert suggestion.usage is not None


async def test_a_model_that_cannot_infill_has_them_ordered_by_what_follows() -> None:
    completer = Completer(blind("a", "b", "c", best="b)"), Settings())
    assert [suggestion.text for suggestion in await completer.suggest_several(CALL)] == ["b", "a", "c"]


async def test_what_follows_is_scored_with_what_is_replaced_left_out() -> None:
    seen: list[str] = []

    def score(text: str) -> float:
        seen.append(text)
        return 0.0

    engine = ScriptedEngine(lambda request: ["a", "b) + g(c)"][request.choice % 2], score=score)
    await Completer(engine, Settings()).suggest_several(CALL)
    assert seen == ["a)", "b) + g(c)"]


async def test_reranking_weighs_several_and_shows_one() -> None:
    engine = blind("a", "b", "c", best="c)")
    completer = Completer(engine, Settings(completion=CompletionSettings(rerank=True)))
    assert (await completer.suggest(CALL)).text == "c"
    assert [request.choice for request in engine.requests] == list(range(RERANKED))


@pytest.mark.parametrize(("infilling", "written"), [("auto", 1), ("off", RERANKED)])
async def test_only_a_model_that_does_not_see_what_follows_is_reranked(
    infilling: Literal["auto", "off"], written: int
) -> None:
    engine = choices("a", "b")
    wish = CompletionSettings(rerank=True, infilling=infilling)
    await Completer(engine, Settings(completion=wish)).suggest(CALL)
    assert len(engine.requests) == written


@pytest.mark.parametrize(("least", "text"), [(0.0, "a"), (0.29, "a"), (0.31, "")])
async def test_what_the_model_is_less_sure_of_is_not_shown(least: float, text: str) -> None:
    engine = ScriptedEngine(lambda _: "a", confidence=0.3)
    completer = Completer(engine, Settings(completion=CompletionSettings(min_confidence=least)))
    suggestion = await completer.suggest(CALL)
    assert suggestion.text == text
    assert suggestion.confidence == pytest.approx(0.3)


async def test_a_text_that_was_cut_short_keeps_its_whole_lines() -> None:
    def script(_: Request) -> str:
        return "\n    a = 1\n    b = 2"

    completer = Completer(ScriptedEngine(script), Settings(generation=GenerationSettings(max_tokens=15)))
    assert (await completer.suggest(at_cursor("def f():‸"))).text == "\n    a = 1"
