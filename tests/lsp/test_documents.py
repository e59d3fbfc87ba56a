"""Text sync against a plain model of a document, through thousands of random edits in every encoding."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol.types import (
    Position,
    PositionEncodingKind,
    Range,
    TextDocumentContentChangePartial,
    TextDocumentContentChangeWholeDocument,
    TextDocumentItem,
)

from shardline.lsp.documents import Documents, split_lines
from tests.lsp.plain_document import LETTERS, PlainDocument

ENCODINGS = list(PositionEncodingKind)
URI = "file:///a.py"

texts = st.lists(st.sampled_from(LETTERS), max_size=25).map("".join)


positions = st.builds(Position, st.integers(0, 12), st.integers(0, 12))
edits = st.lists(st.tuples(positions, positions, texts), min_size=1, max_size=12)


def opened(text: str, encoding: PositionEncodingKind) -> Documents:
    documents = Documents()
    documents.encoding = encoding
    documents.open(TextDocumentItem(uri=URI, language_id="python", version=1, text=text))
    return documents


def text_of(documents: Documents) -> str:
    document = documents.get(URI)
    assert document is not None
    assert list(document.lines) == split_lines(document.text)
    assert document.characters == len(document.text)
    return document.text


@settings(max_examples=600, deadline=None)
@given(texts, edits, st.sampled_from(ENCODINGS))
def test_random_edits_give_what_a_plain_document_gives(
    text: str, changes: list[tuple[Position, Position, str]], encoding: PositionEncodingKind
) -> None:
    documents, plain = opened(text, encoding), PlainDocument(text)
    for version, (start, end, new) in enumerate(changes, 2):
        change = TextDocumentContentChangePartial(range=Range(start, end), text=new)
        documents.change(URI, version, [change])
        plain.edit(start, end, new, encoding)
        assert text_of(documents) == plain.text


@settings(max_examples=300, deadline=None)
@given(texts, positions, st.sampled_from(ENCODINGS))
def test_a_position_is_found_where_a_plain_document_finds_it(
    text: str, position: Position, encoding: PositionEncodingKind
) -> None:
    source = opened(text, encoding).source(URI, position)
    assert source is not None
    offset = sum(len(line) for line in source.lines[: source.line]) + source.column
    assert offset == PlainDocument(text).offset(position, encoding)


@settings(max_examples=300, deadline=None)
@given(texts, positions, st.sampled_from(ENCODINGS))
def test_a_range_leads_back_to_the_same_column(text: str, position: Position, encoding: PositionEncodingKind) -> None:
    documents = opened(text, encoding)
    source = documents.source(URI, position)
    assert source is not None
    end = documents.range(source, 0, source.column).end
    again = documents.source(URI, end)
    assert again is not None
    assert (again.line, again.column) == (source.line, source.column)


@given(texts)
def test_lines_are_split_at_line_ends_and_nowhere_else(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(re.fullmatch(r"[^\r\n]*(\r\n|\r|\n)", line) for line in lines[:-1])
    assert "\n" not in lines[-1]
    assert "\r" not in lines[-1]


def test_the_whole_text_can_be_replaced_and_edits_apply_in_order() -> None:
    documents = opened("old", PositionEncodingKind.Utf16)
    whole = TextDocumentContentChangeWholeDocument(text="a\nb\n")
    insert = TextDocumentContentChangePartial(range=Range(Position(1, 1), Position(1, 1)), text="c")
    documents.change(URI, 2, [whole, insert])
    assert text_of(documents) == "a\nbc\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("new", ["", "x", "🎉", "é\n", "a\r\nb🎉", "\n\n"])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_change_ends_before_what_followed_it(encoding: PositionEncodingKind, new: str, backwards: bool) -> None:
    documents = opened("é1\n2🎉3\n4", encoding)
    start = Position(0, PlainDocument.width("é", encoding))
    end = Position(1, 1 + PlainDocument.width("🎉", encoding))
    change = TextDocumentContentChangePartial(range=Range(end, start) if backwards else Range(start, end), text=new)
    documents.change(URI, 2, [change])
    source = documents.source(URI, documents.end_of(change))
    assert source is not None
    assert "".join(source.lines[: source.line]) + source.before == "é" + new
    assert source.after == "3"


def test_where_all_text_is_new_the_cursor_is_taken_to_be_at_the_top() -> None:
    documents = opened("a", PositionEncodingKind.Utf16)
    assert documents.end_of(TextDocumentContentChangeWholeDocument(text="b\nc")) == Position(0, 0)


@pytest.mark.parametrize(
    ("encoding", "character"),
    [(PositionEncodingKind.Utf8, 4), (PositionEncodingKind.Utf16, 2), (PositionEncodingKind.Utf32, 1)],
)
def test_an_emoji_counts_as_the_encoding_says(encoding: PositionEncodingKind, character: int) -> None:
    source = opened("🎉x = 1", encoding).source(URI, Position(0, character))
    assert source is not None
    assert source.after == "x = 1"


def test_documents_that_are_not_open_are_none() -> None:
    documents = opened("a", PositionEncodingKind.Utf16)
    documents.change("file:///other.py", 2, [TextDocumentContentChangeWholeDocument(text="b")])
    assert documents.source("file:///other.py", Position(0, 0)) is None
    documents.close(URI)
    documents.close(URI)
    assert documents.get(URI) is None
