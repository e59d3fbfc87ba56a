"""Several candidates: they differ, the best comes first, and what the model is unsure of is not shown."""

import pytest

from shardline.completion.completer import Completer
from shardline.engine import Request
from shardline.engine.scripted import ScriptedEngine
from shardline.settings import CompletionSettings, GenerationSettings, Settings
from tests.completion.cursor import at_cursor

CALL = at_cursor("x = f(‸)\nprint(x)\n")


def choices(*texts: str, confidence: float = 1.0) -> "ScriptedEngine":
    return ScriptedEngine(lambda request: texts[min(request.choice, len(texts) - 1)], confidence=confidence)


async def texts_by_hand(completer: Completer) -> list[str]:
    return [suggestion.text for suggestion in (await completer.answer(CALL, by_hand=True)).suggestions]


async def test_by_hand_there_are_as_many_as_are_wanted() -> None:
    completer = Completer(choices("a", "b", "c", "d"), Settings(completion=CompletionSettings(candidates=3)))
    assert await texts_by_hand(completer) == ["a", "b", "c"]


async def test_equal_ones_and_empty_ones_are_left_out() -> None:
    completer = Completer(choices("a)", "a", "  "), Settings())
    assert await texts_by_hand(completer) == ["a"]


async def test_where_there_is_nothing_to_say_there_is_one_that_says_nothing() -> None:
    (suggestion,) = (await Completer(choices(" "), Settings()).answer(CALL, by_hand=True)).suggestions
    assert suggestion.text == ""
    assert suggestion.usage is not None


async def test_the_most_probable_comes_first() -> None:
    completer = Completer(choices("three", "a", "bc", confidence=0.5), Settings())
    assert await texts_by_hand(completer) == ["a", "bc", "three"]


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
