"""A suggestion shaped for the client that asked: a pop-up item, or ghost text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lsprotocol.types import (
    ClientCapabilities,
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
    TextEdit,
)

from shardline.completion import Source, Suggestion
from shardline.completion.markdown import code_block
from shardline.lsp.documents import Documents, word_before

FIRST = "\x01"
"""Sorts before what other servers offer."""

ACCEPTED = "shardline.accepted"
"""The command that clients run when an item was accepted; those that run none lose nothing but the count."""


@dataclass(frozen=True, kw_only=True)
class Tastes:
    """What a client declared that it understands in pop-up items."""

    snippets: bool = False
    """It reads snippets, and then indents their lines itself."""
    insert_modes: bool = False
    markdown: bool = False


def tastes(client: ClientCapabilities) -> Tastes:
    """Read the client's capabilities."""
    completion = client.text_document and client.text_document.completion
    item = completion and completion.completion_item
    if not item:
        return Tastes()
    modes = item.insert_text_mode_support
    return Tastes(
        snippets=bool(item.snippet_support),
        insert_modes=bool(modes and InsertTextMode.AdjustIndentation in modes.value_set),
        markdown=MarkupKind.Markdown in (item.documentation_format or []),
    )


def completion_list(
    source: Source,
    suggestions: Sequence[Suggestion],
    documents: Documents,
    client: Tastes,
    number: int | None = None,
) -> CompletionList:
    """The best suggestion as the only item of a pop-up, or no item; incomplete, so that the client asks again.

    The item replaces the word before the cursor, because clients filter by the text that the range holds.
    Clients with snippets get one, even of a single line, because some cut plain text at its first space; they
    indent each line themselves and get the text relative to the cursor's. The others insert it as it is. Nothing
    behind the cursor is replaced, because Neovim cannot. Where the suggestion is counted, `number` is what it is
    accepted by.
    """
    if not suggestions or not suggestions[0].insertion:
        return CompletionList(is_incomplete=True, items=[])
    typed = word_before(source.before)
    start = source.column - len(typed)
    text = typed + suggestions[0].insertion
    replaced = documents.range(source, start, source.column)
    several = "\n" in text
    item = CompletionItem(
        label=text.strip().partition("\n")[0].rstrip() + (" …" if several else ""),
        kind=CompletionItemKind.Text,
        detail="Shardline",
        documentation=_documentation(source, text, client),
        sort_text=FIRST,
        filter_text=typed or text,
        insert_text_format=InsertTextFormat.PlainText,
        text_edit=TextEdit(replaced, _with_endings(source, text)),
        command=_accepted(number, 0),
    )
    if client.snippets:
        item.insert_text_format = InsertTextFormat.Snippet
        item.insert_text_mode = InsertTextMode.AdjustIndentation if client.insert_modes else None
        item.text_edit = TextEdit(replaced, _as_snippet(_relative(source, text)))
    return CompletionList(is_incomplete=True, items=[item])


def inline_items(
    source: Source,
    suggestions: Sequence[Suggestion],
    documents: Documents,
    chosen: SelectedCompletionInfo | None = None,
    number: int | None = None,
) -> list[InlineCompletionItem]:
    """The suggestions as ghost text: inserted at the cursor as they are, so their lines are fully indented.

    Lines end with line feeds whatever the document has: editors turn those into their own, but may show a
    carriage return as a letter. Where a pop-up item is `chosen`, `source` has it, and ghost text goes on behind it.
    Where the suggestions are counted, `number` is what they are accepted by.
    """
    return [
        _inline_item(source, suggestion, documents, chosen, _accepted(number, choice))
        for choice, suggestion in enumerate(suggestions)
    ]


def _inline_item(
    source: Source,
    suggestion: Suggestion,
    documents: Documents,
    chosen: SelectedCompletionInfo | None,
    command: Command | None,
) -> InlineCompletionItem:
    replaced = documents.range(source, source.column, source.column + len(suggestion.repeats))
    text = suggestion.text
    if chosen:
        more = replaced.end.character - replaced.start.character
        end = Position(chosen.range.end.line, chosen.range.end.character + more)
        text, replaced = chosen.text + text, Range(chosen.range.start, end)
    return InlineCompletionItem(insert_text=text, range=replaced, command=command)


def _accepted(number: int | None, choice: int) -> Command | None:
    return None if number is None else Command(title="Count as accepted", command=ACCEPTED, arguments=[number, choice])


def _relative(source: Source, text: str) -> str:
    """Take the indentation of the cursor's line off the lines that follow, for clients that add it."""
    own = source.before[: len(source.before) - len(source.before.lstrip())]
    first, *rest = text.split("\n")
    return "\n".join([first, *(line.removeprefix(own) for line in rest)])


def _as_snippet(text: str) -> str:
    return re.sub(r"([\\$}])", r"\\\1", text)


def _with_endings(source: Source, text: str) -> str:
    """Line endings as the document has them."""
    ending = "\r\n" if source.lines[0].endswith("\r\n") else "\n"
    return text.replace("\n", ending)


def _documentation(source: Source, text: str, client: Tastes) -> MarkupContent | str:
    """The whole text: highlighted where the client can do that."""
    return MarkupContent(MarkupKind.Markdown, code_block(text, source.language)) if client.markdown else text
