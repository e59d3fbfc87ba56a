"""Where a suggestion ends: the laws; test_golden has the cases."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.completion import truncation
from shardline.settings import CompletionSettings
from tests.completion.cursor import at_cursor

AUTO = CompletionSettings()
CODE = st.lists(
    st.sampled_from(["\n", "    ", "  ", "x", "else", "end", "}", "{", "(", ")", ":", '"""', "#", ".", ";"])
)
CURSORS = ["‸", "    ‸", "if x:‸", "f(‸", "x = 1‸\n", "def f():\n    ‸\n    x\n", "class A {\n  ‸\n}\n", '"""\n‸']
LANGUAGES = ["python", "javascript", "ruby", "plaintext"]


@pytest.mark.parametrize("document", ["x = f(a‸)", "x = ‸y", "if ‸:", "if x:‸\n    y\n", "f(a,‸\n  b)"])
def test_what_follows_the_cursor_or_stands_in_its_block_makes_it_a_line(document: str) -> None:
    assert truncation.is_single_line(at_cursor(document), AUTO)


@pytest.mark.parametrize(
    "document",
    ["x = ‸", "x = ‸   ", "‸\nnext", "def f():‸\r\n", "    ‸\n        x", "if x:‸\ny", "f(‸)", "f(() => {‸});"],
)
def test_nothing_after_the_cursor_makes_it_a_block(document: str) -> None:
    assert not truncation.is_single_line(at_cursor(document), AUTO)


@pytest.mark.parametrize("document", ["x = ‸", "f(‸)"])
@pytest.mark.parametrize(("multiline", "single"), [("never", True), ("always", False)])
def test_users_may_decide_between_line_and_block(
    multiline: Literal["always", "never"], single: bool, document: str
) -> None:
    wish = CompletionSettings(multiline=multiline)
    assert truncation.is_single_line(at_cursor(document), wish) == single
    assert truncation.stop_sequences(at_cursor(document), wish) == (("\n",) if single else (truncation.GAP,))


@given(CODE.map("".join), st.integers(1, 5))
def test_a_suggestion_has_no_more_lines_than_allowed(generated: str, most: int) -> None:
    wish = CompletionSettings(max_lines=most)
    kept = generated[: truncation.EndFinder(at_cursor("‸"), wish).find(generated)]
    assert len(kept.lstrip("\n").split("\n")) <= most or not kept.strip("\n")


@given(CODE, st.sampled_from(CURSORS), st.sampled_from(LANGUAGES))
def test_it_ends_at_the_same_place_however_the_text_comes_in(pieces: list[str], document: str, language: str) -> None:
    text = "".join(pieces)
    at_once = truncation.EndFinder(at_cursor(document, language), AUTO).find(text, finished=True)
    streamed = truncation.EndFinder(at_cursor(document, language), AUTO)
    ends = [streamed.find(text[:length]) for length in range(len(text) + 1)]
    end = next((at for at in ends if at is not None), None)
    assert at_once == (streamed.find(text, finished=True) if end is None else end)


@given(CODE.map("".join), st.sampled_from(CURSORS), st.sampled_from(LANGUAGES))
def test_it_ends_before_a_line_feed(text: str, document: str, language: str) -> None:
    end = truncation.EndFinder(at_cursor(document, language), AUTO).find(text, finished=True)
    assert end is None or text[end] == "\n"


@pytest.mark.parametrize(
    ("text", "whole"),
    [("a", "a"), ("a\nb", "a"), ("a\nb\nc", "a\nb"), ("\na", "\na"), ("\na\nb", "\na"), ("", ""), ("a\n", "a")],
)
def test_lines_that_were_not_finished_are_left_out(text: str, whole: str) -> None:
    assert truncation.whole_lines(text) == whole
