"""What was suggested once is known: while one types it, and when keys are taken back; never where it does not fit."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.completion import Source, Suggestion
from shardline.completion.cache import MAX_SUGGESTIONS, SuggestionCache
from shardline.completion.completer import Completer
from shardline.completion.position import CLOSERS, Position
from shardline.engine.scripted import ScriptedEngine
from shardline.settings import CompletionSettings, Settings

TEXTS = st.text("ab ()\n", max_size=12)


def source(before: str) -> Source:
    lines = (before + "\0").splitlines(keepends=True)
    lines[-1] = lines[-1].removesuffix("\0")
    line = before.count("\n")
    return Source(document="d", language="python", lines=lines, line=line, column=len(before.rpartition("\n")[2]))


def place(prefix: str, suffix: str) -> Position:
    line = prefix.count("\n")
    return Position(line=line, column=len(prefix.rpartition("\n")[2]), prefix=prefix, suffix=suffix)


@given(prefix=TEXTS, suffix=TEXTS, text=TEXTS, typed=st.integers(0, 12))
def test_typing_a_suggestion_leaves_its_rest(prefix: str, suffix: str, text: str, typed: int) -> None:
    cache = SuggestionCache()
    cache.add("d", place(prefix, suffix), Suggestion(text=text))
    rest = cache.find("d", place(prefix + text[:typed], suffix))
    if not text[:typed] or text[typed:]:
        assert rest is not None
        assert rest.text == text[typed:]
    else:
        assert rest is None


@given(prefix=TEXTS, suffix=TEXTS, text=TEXTS, other_prefix=TEXTS, other_suffix=TEXTS)
def test_what_is_known_always_fits(prefix: str, suffix: str, text: str, other_prefix: str, other_suffix: str) -> None:
    cache = SuggestionCache()
    cache.add("d", place(prefix, suffix), Suggestion(text=text))
    rest = cache.find("d", place(other_prefix, other_suffix))
    if rest is not None:
        closed = other_suffix[: len(other_suffix) - len(suffix)]  # by the editor, for what was typed
        assert other_suffix == closed + suffix
        assert [rest.text[at] for at in rest.repeats] == list(closed[: len(rest.repeats)])
        assert other_prefix + rest.text + suffix == prefix + text + suffix


@given(prefix=TEXTS, suffix=st.text("xy", max_size=3), data=st.data())
def test_brackets_that_are_typed_over_are_not_overwritten_again(prefix: str, suffix: str, data: st.DataObject) -> None:
    text = data.draw(st.text("a)", min_size=1, max_size=8))
    closing = [place for place, letter in enumerate(text) if letter == ")"]
    repeats = tuple(closing[: data.draw(st.integers(0, len(closing)))])
    typed = data.draw(st.integers(0, len(text) - 1))
    cache = SuggestionCache()
    cache.add("d", place(prefix, ")" * len(repeats) + suffix), Suggestion(text=text, repeats=repeats))
    left = [place for place in repeats if place >= typed]
    rest = cache.find("d", place(prefix + text[:typed], ")" * len(left) + suffix))
    assert rest is not None
    assert [rest.text[place] for place in rest.repeats] == [")"] * len(left)


@given(text=st.lists(st.sampled_from(["a", "(", ")", "[", "]", '"', ", "]), max_size=14).map("".join))
def test_a_suggestion_stays_known_while_the_editor_closes_what_is_typed(text: str) -> None:
    """An editor that closes each bracket and quote, and lets one type over what it has closed."""
    cache = SuggestionCache()
    cache.add("d", place("x = ", "\nend"), Suggestion(text=text))
    before, behind = "x = ", ""
    for letter in text[:-1]:
        if behind.startswith(letter):
            behind = behind[1:]
        elif letter in CLOSERS:
            behind = CLOSERS[letter] + behind
        before += letter
        rest = cache.find("d", place(before, behind + "\nend"))
        assert rest is not None
        assert before + rest.text == "x = " + text
        assert [rest.text[at] for at in rest.repeats] == list(behind[: len(rest.repeats)])


def test_a_suggestion_stays_known_when_the_window_moves() -> None:
    text = "x = 1\n" * 400
    lines = [f"line {number}, and more to fill it up\n" for number in range(2000)]
    above = Source(document="d", language="python", lines=[*lines, ""], line=2000, column=0)
    cache = SuggestionCache()
    cache.add("d", Position.of(above), Suggestion(text=text))
    typed = text[:600]  # a hundred lines, so that the window begins elsewhere
    rest = cache.find("d", Position.of(above.accepting(Suggestion(text=typed))))
    assert rest is not None
    assert rest.text == text[600:]


def test_the_newest_is_found_and_the_oldest_goes() -> None:
    cache = SuggestionCache()
    for number in range(MAX_SUGGESTIONS + 1):
        cache.add("d", place(f"{number} ", ""), Suggestion(text=str(number)))
    cache.add("d", place("1 ", ""), Suggestion(text="new"))
    assert cache.find("d", place("0 ", "")) is None
    assert cache.find("d", place("1 ", "")) == Suggestion(text="new")
    cache.drop("d")
    assert cache.find("d", place("1 ", "")) is None


@pytest.mark.parametrize("typed", ["", "r", "result"])
async def test_the_engine_is_asked_once(typed: str) -> None:
    engine = ScriptedEngine(lambda _: "result = 1")
    completer = Completer(engine, Settings())
    await completer.suggest(source("x\n"))
    known = await completer.suggest(source("x\n" + typed))
    assert known.text == "result = 1"[len(typed) :]
    assert known.usage is None
    assert len(engine.requests) == 1


async def test_keys_taken_back_lead_to_what_was_shown_there() -> None:
    engine = ScriptedEngine(lambda request: "bc" if request.prefix == "a" else "other")
    completer = Completer(engine, Settings())
    for before in ("a", "ax", "a"):
        suggestion = await completer.suggest(source(before))
    assert suggestion.text == "bc"
    assert len(engine.requests) == 2


async def test_other_settings_make_other_suggestions() -> None:
    engine = ScriptedEngine(lambda _: "x")
    completer = Completer(engine, Settings())
    await completer.suggest(source("a"))
    completer.settings = replace(Settings(), completion=CompletionSettings(multiline="never"))
    await completer.suggest(source("a"))
    assert len(engine.requests) == 2


async def test_a_closed_document_is_forgotten_and_others_are_not() -> None:
    engine = ScriptedEngine(lambda _: "x")
    completer = Completer(engine, Settings())
    await completer.suggest(source("a"))
    completer.close_document("other")
    await completer.suggest(source("a"))
    assert len(engine.requests) == 1
    completer.close_document("d")
    await completer.suggest(source("a"))
    assert len(engine.requests) == 2
