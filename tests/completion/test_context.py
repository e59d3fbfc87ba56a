"""Windows: they hold the text around the cursor, whatever it is, and their edges stay put while one types."""

from hypothesis import given
from hypothesis import strategies as st

from shardline.completion import Source
from shardline.completion.code import excerpt
from shardline.lsp.documents import split_lines


def source(text: str, line: int, column: int) -> Source:
    return Source(document="d", language="python", lines=split_lines(text), line=line, column=column)


def test_a_small_document_is_seen_whole() -> None:
    prefix, suffix = excerpt.window(source("a = 1\nb = 2\nc = 3\n", 1, 3))
    assert (prefix, suffix) == ("a = 1\nb =", " 2\nc = 3\n")


def test_line_endings_become_line_feeds() -> None:
    prefix, suffix = excerpt.window(source("a\r\nb\rc\r\n", 2, 0))
    assert (prefix, suffix) == ("a\nb\n", "c\n")


@given(st.text(max_size=200), st.integers(0, 300))
def test_a_window_is_a_part_of_the_text_and_can_be_encoded(text: str, at: int) -> None:
    lines = split_lines(text)
    line = min(at, len(lines) - 1)
    prefix, suffix = excerpt.window(source(text, line, min(at, len(lines[line].rstrip("\r\n")))))
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    assert prefix + suffix == plain
    (prefix + suffix).encode()


def test_lone_surrogates_are_replaced() -> None:
    assert excerpt.window(source("a\ud800b", 0, 3)) == ("a?b", "")


def test_a_large_document_is_cut_to_whole_lines_and_the_edge_stays_put() -> None:
    text = "x = 'some text of a line'\n" * 20_000
    lines = split_lines(text)
    starts = set()
    for line in range(10_000, 10_060):
        prefix, suffix = excerpt.window(source(text, line, 5))
        assert excerpt.PREFIX_CHARACTERS // 2 <= len(prefix) <= excerpt.PREFIX_CHARACTERS
        assert len(suffix) <= excerpt.SUFFIX_CHARACTERS
        assert prefix.startswith("x = ")
        starts.add(line - prefix.count("\n"))
    assert len(starts) <= 2
    assert lines[0] in text


def test_one_huge_line_is_cut_too() -> None:
    prefix, suffix = excerpt.window(source("x" * 10_000_000, 0, 5_000_000))
    assert len(prefix) == excerpt.PREFIX_CHARACTERS
    assert len(suffix) == excerpt.SUFFIX_CHARACTERS
