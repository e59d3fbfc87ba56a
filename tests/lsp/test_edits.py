"""What an editor has on its screen is what the server has; and which suggestions are true to it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from shardline.lsp.client.buffer import Buffer
from shardline.lsp.client.edit import ghost, popup
from shardline.lsp.documents import Documents

ENCODINGS = ["utf-8", "utf-16", "utf-32"]
texts = st.text(st.sampled_from("ab é🎉\n\x0c\u2028"), max_size=12)


def buffer(text: str, encoding: str = "utf-16") -> Buffer:
    """Return a document with the cursor at the mark."""
    return Buffer(uri="u", language="python", text=text.replace("|", ""), cursor=text.find("|"), encoding=encoding)


@given(text=texts, changes=st.lists(st.tuples(texts, st.integers(0), st.integers(0))), data=st.sampled_from(ENCODINGS))
def test_after_each_change_the_server_has_what_the_editor_has(
    text: str, changes: list[tuple[str, int, int]], data: str
) -> None:
    own, documents = buffer(text, data), Documents()
    documents.encoding = types.PositionEncodingKind(data)
    documents.open(types.TextDocumentItem(uri="u", language_id="python", version=1, text=text))
    for new, first, second in changes:
        start, end = sorted((first % (len(own.text) + 1), second % (len(own.text) + 1)))
        assert own.index(own.position(start)) == start
        params = own.change(start, end, new)
        documents.change("u", params.text_document.version, params.content_changes)
        own = own.edited(start, end, new)
        document = documents.get("u")
        assert document is not None
        assert (document.text, document.version) == (own.text, own.version)


def test_a_position_that_the_document_does_not_have_is_none() -> None:
    own = buffer("a🎉\nb|")
    for line, character in ((2, 0), (0, 4), (0, 2), (1, 2)):
        assert own.index(types.Position(line, character)) is None


def spot(start: int, end: int, line: int = 0) -> types.Range:
    return types.Range(types.Position(line, start), types.Position(line, end))


@pytest.mark.parametrize(
    ("text", "where", "fits"),
    [
        ("x)", None, True),
        ("foo(x)", spot(0, 4), True),
        ("foo(x)", spot(0, 5), True),
        ("foo(x", spot(0, 5), False),  # loses the bracket
        ("bar(x)", spot(0, 4), False),  # loses what was typed
        ("x)", spot(5, 5), False),  # behind the cursor
        ("x)", spot(4, 9), False),  # beyond the line
        ("x)", spot(4, 4, line=3), False),  # beyond the document
    ],
)
def test_ghost_text_fits_where_it_loses_nothing(text: str, where: types.Range | None, fits: bool) -> None:
    edit = ghost([types.InlineCompletionItem(insert_text=text, range=where)], buffer("foo(|)"))
    assert edit is not None
    assert edit.fits is fits


@pytest.mark.parametrize(
    ("now", "fits"),
    [("return x|", True), ("return xs|", True), ("return y|", False), ("return |x", False), ("r|", False)],
)
def test_it_fits_later_where_typing_went_its_way(now: str, fits: bool) -> None:
    asked = buffer("return |")
    edit = ghost([types.InlineCompletionItem(insert_text="xs[0]")], asked)
    assert edit is not None
    later = buffer(now)
    typed = later.text[: later.cursor]
    made = asked.edited(0, len(asked.text), typed) if later.cursor == len(later.text) else None
    made = made or Buffer(
        uri="u", language="python", text=later.text, cursor=later.cursor, encoding="utf-16", version=2
    )
    assert edit.fits_now(made) is fits


def test_a_pop_up_offers_first_what_matches_the_word() -> None:
    def item(label: str, **more: Any) -> types.CompletionItem:
        return types.CompletionItem(label=label, **more)

    asked = buffer("self.nam|")
    edit = popup([item("zip"), item("rename"), item("name", sort_text="a")], asked)
    assert edit is not None
    assert edit.fits
    assert asked.edited(*edit.applied(asked)).text == "self.name"
    assert popup(types.CompletionList(is_incomplete=False, items=[item("zip")]), asked) is None
    gone = popup([item("nam", text_edit=types.TextEdit(spot(0, 8), "nam"))], asked)
    assert gone is not None
    assert not gone.fits
