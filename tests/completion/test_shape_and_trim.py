"""Where a suggestion ends, and what of it is worth showing: the cursor is marked with |."""

import dataclasses
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.completion import Source, shape
from shardline.completion.trim import trim
from shardline.lsp.documents import split_lines
from shardline.settings import CompletionSettings

AUTO = CompletionSettings()


def at_cursor(text: str) -> Source:
    before, _, after = text.partition("|")
    column = len(before.rpartition("\n")[2])
    lines = split_lines(before + after)
    return Source(document="d", language="python", lines=lines, line=before.count("\n"), column=column)


@pytest.mark.parametrize("text", ["x = f(|)", "x = |y", "if |:"])
def test_text_after_the_cursor_makes_it_a_line(text: str) -> None:
    assert shape.stop_sequences(at_cursor(text), AUTO) == ("\n",)


@pytest.mark.parametrize("text", ["x = |", "x = |   ", "|\nnext", "def f():|\r\n"])
def test_nothing_after_the_cursor_makes_it_a_block(text: str) -> None:
    assert shape.stop_sequences(at_cursor(text), AUTO) == ("\n\n",)


@pytest.mark.parametrize(
    ("multiline", "text", "stop"),
    [("never", "x = |", "\n"), ("never", "f(|)", "\n"), ("always", "f(|)", "\n\n"), ("always", "x = |", "\n\n")],
)
def test_users_may_decide_between_line_and_block(multiline: Literal["always", "never"], text: str, stop: str) -> None:
    assert shape.stop_sequences(at_cursor(text), CompletionSettings(multiline=multiline)) == (stop,)


@given(st.text(alphabet="a\n", max_size=30), st.integers(1, 5))
def test_a_suggestion_has_no_more_lines_than_allowed(generated: str, most: int) -> None:
    wish = CompletionSettings(max_lines=most)
    kept = generated[: shape.end(at_cursor("|"), generated, wish)]
    assert len(kept.lstrip("\n").split("\n")) <= most or not kept.strip("\n")
    if len(generated.lstrip("\n").split("\n")) <= most:
        assert kept == generated


@pytest.mark.parametrize(
    ("text", "generated", "kept"),
    [
        ("def f():|", "\n    return 1\n\n", "\n    return 1\n\n"),
        ("    def f():|", "\n        return 1\n    def g():\n", "\n        return 1\n    def g():\n"),
        ("    def f():|", "\n        return 1\nclass A:\n", "\n        return 1"),
        ("\tif x:|", "\n\t\ty()\nz()", "\n\t\ty()"),
        ("    if (a) {|", "\n        b();\n    }\n}\nmore", "\n        b();\n    }\n}"),
        ("    x =|", " 1", " 1"),
        ("        |", "a\n    b", "a"),
    ],
)
def test_the_block_ends_before_a_line_that_is_indented_less(text: str, generated: str, kept: str) -> None:
    end = shape.end(at_cursor(text), generated, AUTO)
    assert generated[:end] == kept


@given(st.text(alphabet="a \n}", max_size=40), st.integers(0, 8))
def test_what_has_ended_stays_ended_there(generated: str, indentation: int) -> None:
    source = at_cursor(" " * indentation + "if x:|")
    ends = {shape.end(source, generated[:length], AUTO) for length in range(len(generated) + 1)}
    assert len(ends - {None}) <= 1


@pytest.mark.parametrize(
    ("text", "generated", "shown"),
    [
        ("print(|)", "name)", "name"),
        ("print(|)", "name", "name"),
        ("x = [|];", "1, 2];", "1, 2"),
        ("x = |", "1   \n  \n", "1"),
        ("x = |y", "y", ""),
        ("f(|)", "  \n ", ""),
        ('print("|")', 'hello")', "hello"),
        ("x = |\ny = 2\n", "1\ny = 2", "1"),
        ("    |\n    return x\n", "return x", ""),
        ("if a:|\n\n    return x\n", "\n    b()\n    return x", "\n    b()"),
        ("if a:|\n}\n", "\n    b()\n}", "\n    b()\n}"),
        ("x = |", "1\n```\nSure!", "1"),
        ("|", "a()\na()\na()\na()", "a()"),
        ("|", "a()\na()\nb()", "a()\na()\nb()"),
    ],
)
def test_only_what_is_new_is_shown(text: str, generated: str, shown: str) -> None:
    assert trim(at_cursor(text), generated) == shown


@given(st.text(alphabet="ab()\n `", max_size=40), st.text(alphabet="ab()\n ", max_size=20))
def test_what_is_shown_is_the_beginning_of_what_was_said(generated: str, after: str) -> None:
    assert generated.startswith(trim(at_cursor(f"x|{after}"), generated))


def test_a_fence_is_text_in_markdown() -> None:
    source = dataclasses.replace(at_cursor("|"), language="markdown")
    assert trim(source, "a\n```\nb") == "a\n```\nb"
