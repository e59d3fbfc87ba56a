"""Suggestions as pop-up items and ghost text."""

import re
from collections.abc import Sequence

from lsprotocol.types import (
    Command,
    CompletionItem,
    CompletionItemKind,
    CompletionList,
    InlineCompletionItem,
    InsertTextFormat,
    InsertTextMode,
    MarkupContent,
    MarkupKind,
    Position,
    Range,
    SelectedCompletionInfo,
    TextDocumentContentChangePartial,
    TextEdit,
)

from shardline.completion import Source, Suggestion
from shardline.completion.code.excerpt import window
from shardline.completion.code.syntax import kind_at_cursor
from shardline.completion.markdown import code_block
from shardline.lsp.capabilities import PLAIN, Tastes
from shardline.lsp.documents import Documents, word_before

FIRST = "\x01"
"""Sorts before the items of other servers."""

ACCEPTED = "shardline.accepted"
"""The command that clients run when an item was accepted; it only counts."""


def completion_list(
    source: Source,
    suggestions: Sequence[Suggestion],
    documents: Documents,
    client: Tastes,
    number: int | None = None,
) -> CompletionList:
    """Return the best suggestion as the only item of a pop-up, or none; incomplete, so the client asks again.

    The item replaces the word before the cursor, because clients filter by the text in the range. It replaces nothing
    behind the cursor, because Neovim cannot. `number` identifies a counted suggestion when it is accepted.
    """
    typed = word_before(source.before)
    text = typed + (suggestions[0].insertion if suggestions else "")
    if text == typed or (client.tokens and _stands_in_token(source)):
        return CompletionList(is_incomplete=True, items=[])
    replaced = documents.range(source, source.column - len(typed), source.column)
    item = CompletionItem(
        label=text.strip().partition("\n")[0].rstrip() + (" …" if "\n" in text else ""),
        kind=CompletionItemKind.Text,
        detail="Shardline",
        documentation=_documentation(source, text, client),
        sort_text=FIRST,
        filter_text=typed or text,
        insert_text_format=InsertTextFormat.PlainText,
        text_edit=TextEdit(replaced, _with_endings(source, text)),
        command=_accepted(number, 0),
    )
    if client.tokens:
        item.insert_text = _behind_token(source, text.removeprefix(typed))
    elif client.words:
        item.text_edit, item.additional_text_edits = _as_word(TextEdit(replaced, text), documents)
    elif client.as_is:
        item.insert_text_mode = InsertTextMode.AsIs
    elif client.snippets:  # even a single line: some clients cut plain text at its first space
        item.insert_text_format = InsertTextFormat.Snippet
        item.insert_text_mode = InsertTextMode.AdjustIndentation if client.adjusts else None
        item.text_edit = TextEdit(replaced, _as_snippet(_relative(source, text)))
    return CompletionList(is_incomplete=True, items=[item])


def inline_items(
    source: Source,
    suggestions: Sequence[Suggestion],
    documents: Documents,
    chosen: SelectedCompletionInfo | None = None,
    number: int | None = None,
    client: Tastes = PLAIN,
) -> list[InlineCompletionItem]:
    """Return the suggestions as ghost text, inserted at the cursor as it is, so its lines are fully indented.

    Lines end with line feeds: editors convert them, but may show a carriage return as a character. `source` contains
    the `chosen` pop-up item if there is one. `number` identifies counted suggestions when one is accepted.
    """
    return [
        _inline_item(source, suggestion, documents, chosen, _accepted(number, choice), client)
        for choice, suggestion in enumerate(suggestions)
    ]


def _inline_item(
    source: Source,
    suggestion: Suggestion,
    documents: Documents,
    chosen: SelectedCompletionInfo | None,
    command: Command | None,
    client: Tastes,
) -> InlineCompletionItem:
    # Space at the start of ghost text is no indentation where other text stands before it: begin with that.
    own = source.before.lstrip() if client.indents and suggestion.text[:1].isspace() and not chosen else ""
    replaced = documents.range(source, source.column - len(own), source.column + len(suggestion.repeats))
    text = own + suggestion.text
    if chosen:
        more = replaced.end.character - replaced.start.character
        end = Position(chosen.range.end.line, chosen.range.end.character + more)
        text, replaced = chosen.text + text, Range(chosen.range.start, end)
    return InlineCompletionItem(insert_text=text, range=replaced, command=command)


def _accepted(number: int | None, choice: int) -> Command | None:
    return None if number is None else Command(title="Count as accepted", command=ACCEPTED, arguments=[number, choice])


def _as_word(edit: TextEdit, documents: Documents) -> tuple[TextEdit, list[TextEdit]]:
    """Divide an edit into its first line and an additional edit for the other lines.

    Vim's clients apply additional edits after the word is inserted, so they begin at its end.
    """
    first, ending, others = edit.new_text.partition("\n")
    word = TextEdit(edit.range, first)
    end = documents.end_of(TextDocumentContentChangePartial(text=first, range=edit.range))
    return word, [TextEdit(Range(end, end), ending + others)] if ending else []


def _stands_in_token(source: Source) -> bool:
    """Return whether the cursor stands in a word, a string or a comment: there no text goes on behind a token."""
    word = source.after[:1]
    return word.isalnum() or word == "_" or kind_at_cursor(*window(source), source.language) is not None


def _behind_token(source: Source, insertion: str) -> str:
    """Return what JupyterLab inserts behind a token: where it begins like that token, it is taken to replace it."""
    token = word_before(source.before) or source.before[-1:].strip()
    return token + insertion if token and insertion.lower().startswith(token.lower()) else insertion


def _relative(source: Source, text: str) -> str:
    """Return `text` without the indentation of the cursor's line, for clients that add it."""
    own = source.before[: len(source.before) - len(source.before.lstrip())]
    first, *rest = text.split("\n")
    return "\n".join([first, *(line.removeprefix(own) for line in rest)])


def _as_snippet(text: str) -> str:
    return re.sub(r"([\\$}])", r"\\\1", text)


def _with_endings(source: Source, text: str) -> str:
    """Return `text` with the line endings of the document."""
    ending = "\r\n" if source.lines[0].endswith("\r\n") else "\n"
    return text.replace("\n", ending)


def _documentation(source: Source, text: str, client: Tastes) -> MarkupContent | str:
    """Return the whole text, highlighted if the client can."""
    return MarkupContent(MarkupKind.Markdown, code_block(text, source.language)) if client.markdown else text
