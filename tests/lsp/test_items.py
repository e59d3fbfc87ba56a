"""Suggestions shaped for clients: what is inserted, what it replaces, and what the list shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import (
    ClientCapabilities,
    ClientCompletionItemInsertTextModeOptions,
    ClientCompletionItemOptions,
    ClientInfo,
    CompletionClientCapabilities,
    CompletionItem,
    GeneralClientCapabilities,
    InitializeParams,
    InsertTextFormat,
    InsertTextMode,
    MarkupContent,
    Position,
    PositionEncodingKind,
    Range,
    SelectedCompletionInfo,
    TextDocumentClientCapabilities,
    TextDocumentItem,
    TextEdit,
)

from shardline.completion import Source, Suggestion
from shardline.lsp import items
from shardline.lsp.capabilities import Tastes, encoding, tastes
from shardline.lsp.documents import Documents

URI = "file:///a.py"
MARKDOWN = Tastes(markdown=True)
SNIPPETS = Tastes(snippets=True, adjusts=True)
AS_IS = Tastes(snippets=True, adjusts=True, as_is=True)
WORDS = Tastes(as_is=True, words=True)
TOKENS = Tastes(tokens=True)


def at_cursor(text: str, encoding: PositionEncodingKind = PositionEncodingKind.Utf16) -> tuple[Source, Documents]:
    before, _, after = text.partition("|")
    documents = Documents()
    documents.encoding = PositionEncodingKind.Utf32
    documents.open(TextDocumentItem(uri=URI, language_id="python", version=1, text=before + after))
    source = documents.source(URI, Position(before.count("\n"), len(before.rpartition("\n")[2])))
    assert source is not None
    documents.encoding = encoding
    return source, documents


def popup(text: str, suggestion: str, client: Tastes = MARKDOWN) -> CompletionItem:
    source, documents = at_cursor(text)
    result = items.completion_list(source, [Suggestion(text=suggestion)], documents, client)
    assert result.is_incomplete
    assert len(result.items) == 1
    return result.items[0]


def edit_of(item: CompletionItem) -> TextEdit:
    assert isinstance(item.text_edit, TextEdit)
    return item.text_edit


def test_nothing_to_say_is_an_empty_incomplete_list() -> None:
    source, documents = at_cursor("a|")
    result = items.completion_list(source, [], documents, MARKDOWN)
    assert result.items == []
    assert result.is_incomplete
    assert items.inline_items(source, [], documents) == []


def test_a_popup_item_replaces_the_word_before_the_cursor_and_is_filtered_by_it() -> None:
    item = popup("x = enu|", "merate(names)")
    assert edit_of(item).new_text == "enumerate(names)"
    assert edit_of(item).range.start == Position(0, 4)
    assert edit_of(item).range.end == Position(0, 7)
    assert item.filter_text == "enu"
    assert item.label == "enumerate(names)"


def test_the_label_is_one_line_and_the_documentation_holds_all() -> None:
    item = popup("def f():|", "\n    return 1")
    assert item.label == "return 1 …"
    assert isinstance(item.documentation, MarkupContent)
    assert item.documentation.value == "```python\n\n    return 1\n```"


def test_several_lines_are_a_relative_snippet_where_the_client_takes_them() -> None:
    item = popup("    if x:|", "\n        y = {$z}\\\n    w", SNIPPETS)
    assert item.insert_text_format is InsertTextFormat.Snippet
    assert item.insert_text_mode is InsertTextMode.AdjustIndentation
    assert edit_of(item).new_text == "\n    y = {\\$z\\}\\\\\nw"


def test_several_lines_are_plain_and_absolute_where_it_does_not() -> None:
    item = popup("    if x:|", "\n        y = $z")
    assert item.insert_text_format is InsertTextFormat.PlainText
    assert edit_of(item).new_text == "\n        y = $z"


def test_text_is_plain_and_absolute_where_the_client_can_keep_it_as_it_is() -> None:
    item = popup("\tif x:|", "\n\t\ty = {$z}", AS_IS)
    assert item.insert_text_format is InsertTextFormat.PlainText
    assert item.insert_text_mode is InsertTextMode.AsIs
    assert edit_of(item).new_text == "\n\t\ty = {$z}"


@pytest.mark.parametrize(
    ("typed", "suggestion", "word", "below", "at"),
    [
        ("    if x:|", "\n        y\n        z", "", "\n        y\n        z", 9),
        ("    🎉.i|)", "f(\n    a", "if(", "\n    a", 10),
        ("x = enu|", "merate(names)", "enumerate(names)", None, None),
    ],
)
def test_a_word_has_one_line_and_the_others_are_an_edit_at_its_end(
    typed: str, suggestion: str, word: str, below: str | None, at: int | None
) -> None:
    item = popup(typed, suggestion, WORDS)
    assert item.insert_text_mode is None
    assert edit_of(item).new_text == word
    if below is None or at is None:
        assert not item.additional_text_edits
    else:
        assert item.additional_text_edits == [TextEdit(Range(Position(0, at), Position(0, at)), below)]


@pytest.mark.parametrize(
    ("typed", "suggestion", "inserted"),
    [
        ("def f():|", "\n    return 1", "\n    return 1"),
        ("return su|", "m(a)", "m(a)"),
        ("a\r\nif x:|", "\n    y", "\n    y"),
        ("y = (|", "(1, 2), 3)", "((1, 2), 3)"),
        ("y = c|", "Call", "cCall"),
        ("if |", " x", " x"),
    ],
)
def test_a_client_without_text_edits_is_told_what_goes_on_behind_the_token(
    typed: str, suggestion: str, inserted: str
) -> None:
    assert popup(typed, suggestion, TOKENS).insert_text == inserted
    assert popup(typed, suggestion).insert_text is None


@pytest.mark.parametrize("text", ["x = su|m", "x = 'the s|'", "x = 'the s|", "# the s|", '"""a|\nb\n"""'])
def test_a_client_without_text_edits_gets_nothing_within_a_token(text: str) -> None:
    source, documents = at_cursor(text)
    assert items.completion_list(source, [Suggestion(text="um")], documents, TOKENS).items == []
    assert len(items.completion_list(source, [Suggestion(text="um")], documents, MARKDOWN).items) == 1


def greeting(
    name: str = "", *modes: InsertTextMode, encodings: list[PositionEncodingKind] | None = None
) -> InitializeParams:
    popups = ClientCompletionItemOptions(insert_text_mode_support=ClientCompletionItemInsertTextModeOptions(modes))
    document = TextDocumentClientCapabilities(completion=CompletionClientCapabilities(completion_item=popups))
    general = GeneralClientCapabilities(position_encodings=encodings)
    return InitializeParams(
        capabilities=ClientCapabilities(text_document=document, general=general), client_info=ClientInfo(name)
    )


@pytest.mark.parametrize("name", ["Vim", "vim-lsp"])
def test_clients_that_use_vims_complete_get_words_whatever_they_declare(name: str) -> None:
    assert tastes(greeting(name, InsertTextMode.AsIs)).words
    assert not tastes(greeting("Neovim", InsertTextMode.AsIs)).words


def test_the_mode_that_adjusts_indentation_is_used_only_where_there_is_no_other() -> None:
    assert tastes(greeting("", InsertTextMode.AsIs, InsertTextMode.AdjustIndentation)).as_is
    assert not tastes(greeting("", InsertTextMode.AdjustIndentation)).as_is
    assert tastes(InitializeParams(capabilities=ClientCapabilities())) == Tastes()


def nameless(*, context: bool | None, snippets: bool | None = None, commit: bool | None = None) -> InitializeParams:
    popups = ClientCompletionItemOptions(snippet_support=snippets, commit_characters_support=commit)
    completion = CompletionClientCapabilities(completion_item=popups, context_support=context)
    document = TextDocumentClientCapabilities(completion=completion)
    return InitializeParams(capabilities=ClientCapabilities(text_document=document))


def named(client: InitializeParams) -> InitializeParams:
    client.client_info = ClientInfo("other")
    return client


def test_jupyterlab_is_known_by_commit_characters_without_snippets() -> None:
    assert tastes(nameless(context=True, snippets=False, commit=True)).tokens
    assert not tastes(nameless(context=True, snippets=True, commit=True)).tokens
    assert not tastes(nameless(context=True, snippets=False)).tokens
    assert not tastes(named(nameless(context=True, snippets=False, commit=True))).tokens


def test_kate_is_known_by_snippets_without_contexts_and_gets_plain_text() -> None:
    assert not tastes(nameless(context=None, snippets=True)).snippets
    assert tastes(nameless(context=True, snippets=True)).snippets
    assert tastes(named(nameless(context=None, snippets=True))).snippets


@pytest.mark.parametrize("name", ["vim-lsp", "emacs"])
def test_some_clients_count_characters_unless_they_offer_an_encoding(name: str) -> None:
    assert encoding(greeting(name)) is PositionEncodingKind.Utf32
    assert encoding(greeting(name, encodings=[PositionEncodingKind.Utf8])) is PositionEncodingKind.Utf8
    assert encoding(greeting("other")) is PositionEncodingKind.Utf16


def test_one_line_is_a_snippet_too_because_some_clients_cut_plain_text_at_a_space() -> None:
    item = popup("x|", " = $1", SNIPPETS)
    assert item.insert_text_format is InsertTextFormat.Snippet
    assert edit_of(item).new_text == "x = \\$1"


def test_ghost_text_is_inserted_at_the_cursor_as_it_is() -> None:
    source, documents = at_cursor("    if x:|")
    (item,) = items.inline_items(source, [Suggestion(text="\n        y")], documents)
    assert item.insert_text == "\n        y"
    assert item.range is not None
    assert item.range.start == item.range.end == Position(0, 9)


def test_ghost_text_that_begins_with_space_begins_at_the_lines_text_where_the_client_indents_it_anew() -> None:
    source, documents = at_cursor("\t🎉 return|)")
    (item,) = items.inline_items(source, [Suggestion(text=" a)", repeats=(2,))], documents, client=Tastes(indents=True))
    assert (item.insert_text, item.range) == ("🎉 return a)", Range(Position(0, 1), Position(0, 11)))
    (item,) = items.inline_items(
        source, [Suggestion(text="(a))", repeats=(3,))], documents, client=Tastes(indents=True)
    )
    assert (item.insert_text, item.range) == ("(a))", Range(Position(0, 10), Position(0, 11)))


def test_line_endings_are_the_documents_in_pop_up_items_and_line_feeds_in_ghost_text() -> None:
    assert edit_of(popup("a\r\nif x:|", "\n    y")).new_text == "\r\n    y"
    source, documents = at_cursor("a\r\nif x:|")
    (item,) = items.inline_items(source, [Suggestion(text="\n    y")], documents)
    assert item.insert_text == "\n    y"


@pytest.mark.parametrize(
    ("encoding", "character"),
    [(PositionEncodingKind.Utf8, 8), (PositionEncodingKind.Utf16, 6), (PositionEncodingKind.Utf32, 5)],
)
def test_ranges_are_counted_in_the_clients_encoding(encoding: PositionEncodingKind, character: int) -> None:
    source, documents = at_cursor("🎉 = |", encoding)
    (item,) = items.inline_items(source, [Suggestion(text="1")], documents)
    assert item.range is not None
    assert item.range.start.character == character - 1


def test_what_the_editor_closed_is_replaced_by_ghost_text_and_left_alone_by_pop_up_items() -> None:
    source, documents = at_cursor("f(|)")
    suggestion = Suggestion(text="a);", repeats=(1,))
    (ghost,) = items.inline_items(source, [suggestion], documents)
    assert (ghost.insert_text, ghost.range) == ("a);", Range(Position(0, 2), Position(0, 3)))
    (item,) = items.completion_list(source, [suggestion], documents, MARKDOWN).items
    assert (edit_of(item).new_text, edit_of(item).range) == ("a", Range(Position(0, 2), Position(0, 2)))
    nothing_to_insert = Suggestion(text=");", repeats=(0,))
    assert items.completion_list(source, [nothing_to_insert], documents, MARKDOWN).items == []


def chosen(start: int, end: int, text: str) -> SelectedCompletionInfo:
    return SelectedCompletionInfo(Range(Position(0, start), Position(0, end)), text)


def test_ghost_text_goes_on_behind_the_pop_up_item_that_is_chosen() -> None:
    source, documents = at_cursor("🎉.enu|)")
    info = chosen(3, 6, "enumerate")
    with_it = documents.with_chosen(source, info)
    assert with_it is not None
    assert (with_it.before, with_it.after) == ("🎉.enumerate", ")")
    assert with_it.characters in (None, len("".join(with_it.lines)))
    (item,) = items.inline_items(with_it, [Suggestion(text="(x))", repeats=(3,))], documents, info)
    assert item.insert_text == "enumerate(x))"
    assert item.range == Range(Position(0, 3), Position(0, 7))


@pytest.mark.parametrize("info", [chosen(0, 1, "x"), chosen(6, 7, "x"), chosen(4, 5, "two\nlines")])
def test_a_chosen_item_that_is_not_at_the_cursor_gets_no_ghost_text(info: SelectedCompletionInfo) -> None:
    source, documents = at_cursor("a = b|c d")
    assert documents.with_chosen(source, info) is None


@given(st.text(alphabet="`a\n", max_size=12))
def test_no_text_breaks_out_of_its_fence(text: str) -> None:
    source, documents = at_cursor("x|")
    for item in items.completion_list(source, [Suggestion(text=text)], documents, MARKDOWN).items:
        assert isinstance(item.documentation, MarkupContent)
        fence = item.documentation.value.partition("python")[0]
        assert fence not in f"x{text}"
