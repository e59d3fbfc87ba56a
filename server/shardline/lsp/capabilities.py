"""Capabilities of clients, by declaration and by name."""

from dataclasses import dataclass

from lsprotocol.types import InitializeParams, InsertTextMode, MarkupKind, PositionEncodingKind

VIM = {"Vim", "vim-lsp"}
"""Clients that insert items by Vim's `complete()`; no declaration shows it."""
CHARACTERS = {"emacs", "vim-lsp"}
"""Clients that count characters in positions where they declare no encoding: `emacs` is lsp-mode before version 9."""
INDENTS = {"coc.nvim"}
"""Clients that indent all lines of ghost text anew, as their buffer is set to."""


@dataclass(frozen=True, kw_only=True)
class Tastes:
    """What a client does with suggestions."""

    as_is: bool = False
    """It keeps the indentation of the text, where the item says so."""
    adjusts: bool = False
    """It indents the lines like the cursor's, where the item says so."""
    snippets: bool = False
    """It reads snippets. Some clients indent their lines whatever the item says."""
    markdown: bool = False
    words: bool = False
    """It inserts items as words of one line: Vim makes a NUL byte of a line feed."""
    indents: bool = False
    """It indents all lines of ghost text anew, even the one that goes on where the cursor is."""
    tokens: bool = False
    """It knows no text edits: it inserts the item's `insertText`, else its label, behind the cursor's token."""


PLAIN = Tastes()
"""A client that declares nothing."""


def tastes(client: InitializeParams) -> Tastes:
    """Read the client's capabilities, and its name where they are silent."""
    document = client.capabilities.text_document
    item = document and document.completion and document.completion.completion_item
    modes = item.insert_text_mode_support.value_set if item and item.insert_text_mode_support else []
    return Tastes(
        as_is=InsertTextMode.AsIs in modes,
        adjusts=InsertTextMode.AdjustIndentation in modes,
        snippets=bool(item and item.snippet_support) and not _is_kate(client),
        markdown=bool(item and MarkupKind.Markdown in (item.documentation_format or [])),
        words=_name(client) in VIM,
        indents=_name(client) in INDENTS,
        tokens=bool(item and item.commit_characters_support and not item.snippet_support and not _name(client)),
    )


def encoding(client: InitializeParams) -> PositionEncodingKind:
    """Return the first known encoding that the client offers, as pygls does."""
    general = client.capabilities.general
    offered = (general and general.position_encodings) or []
    known = {kind.value for kind in PositionEncodingKind}
    silent = PositionEncodingKind.Utf32 if _name(client) in CHARACTERS else PositionEncodingKind.Utf16
    return next((PositionEncodingKind(kind) for kind in offered if kind in known), silent)


def _is_kate(client: InitializeParams) -> bool:
    """Return whether a nameless client sends no contexts: Kate, which strips snippets, but indents no line."""
    document = client.capabilities.text_document
    return not _name(client) and not (document and document.completion and document.completion.context_support)


def _name(client: InitializeParams) -> str:
    return client.client_info.name if client.client_info else ""
