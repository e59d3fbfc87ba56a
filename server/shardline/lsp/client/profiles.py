"""Request profiles of real editors.

Taken from the sources of VS Code's language client 11 and of Neovim 0.12.4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from shardline.lsp.client import edit
from shardline.lsp.client.buffer import Buffer
from shardline.lsp.client.edit import Edit

ENDED = (
    types.LSPErrorCodes.RequestCancelled,
    types.LSPErrorCodes.ContentModified,
    types.LSPErrorCodes.ServerCancelled,
)
"""The error codes of requests that ended because nobody needs them any more."""

REPLAYING = {"shardlineStatus": True, "shardlineUsage": True}


@dataclass(frozen=True, kw_only=True)
class Client:
    """An editor that requests a suggestion `pause` seconds after the last change."""

    capabilities: types.ClientCapabilities
    method: str
    edit: Callable[[Any, Buffer], Edit | None]
    """Returns the suggestion in an answer."""
    pause: float = 0.0
    cancels: bool = False
    """It cancels its previous request."""
    asks_after_words_only: bool = False
    """It requests only after a word's character or one of the server's trigger characters."""

    def asks(self, typed: str, triggers: str) -> bool:
        """Return whether it requests a suggestion after typing `typed`."""
        character = typed[-1:]
        return not self.asks_after_words_only or character.isalnum() or character in {"_", *triggers}

    def params(self, buffer: Buffer) -> types.InlineCompletionParams | types.CompletionParams:
        """Return the parameters of a request at the cursor of `buffer`."""
        document, position = types.TextDocumentIdentifier(buffer.uri), buffer.position(buffer.cursor)
        if self.method == types.TEXT_DOCUMENT_COMPLETION:
            invoked = types.CompletionContext(types.CompletionTriggerKind.Invoked)
            return types.CompletionParams(document, position, context=invoked)
        automatic = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
        return types.InlineCompletionParams(context=automatic, text_document=document, position=position)


def _capabilities(*encodings: str, dynamic: bool, popup: types.ClientCompletionItemOptions) -> types.ClientCapabilities:
    return types.ClientCapabilities(
        general=types.GeneralClientCapabilities(
            position_encodings=[types.PositionEncodingKind(encoding) for encoding in encodings]
        ),
        text_document=types.TextDocumentClientCapabilities(
            synchronization=types.TextDocumentSyncClientCapabilities(dynamic_registration=dynamic, did_save=True),
            completion=types.CompletionClientCapabilities(
                dynamic_registration=dynamic, completion_item=popup, context_support=True
            ),
            inline_completion=types.InlineCompletionClientCapabilities(dynamic_registration=dynamic),
        ),
        experimental=REPLAYING,
    )


_MARKUP = [types.MarkupKind.Markdown, types.MarkupKind.PlainText]

VSCODE = Client(
    capabilities=_capabilities(
        "utf-16",
        dynamic=True,
        popup=types.ClientCompletionItemOptions(
            snippet_support=True,
            documentation_format=_MARKUP,
            insert_replace_support=True,
            insert_text_mode_support=types.ClientCompletionItemInsertTextModeOptions(
                [types.InsertTextMode.AsIs, types.InsertTextMode.AdjustIndentation]
            ),
        ),
    ),
    method=types.TEXT_DOCUMENT_INLINE_COMPLETION,
    edit=edit.ghost,
    cancels=True,
)

NEOVIM = Client(
    capabilities=_capabilities(
        "utf-8",
        "utf-16",
        "utf-32",
        dynamic=False,
        popup=types.ClientCompletionItemOptions(
            snippet_support=True, documentation_format=_MARKUP, insert_replace_support=True
        ),
    ),
    method=types.TEXT_DOCUMENT_INLINE_COMPLETION,
    edit=edit.ghost,
    pause=0.2,
)

POPUP = Client(
    capabilities=_capabilities("utf-32", "utf-8", "utf-16", dynamic=False, popup=types.ClientCompletionItemOptions()),
    method=types.TEXT_DOCUMENT_COMPLETION,
    edit=edit.popup,
    asks_after_words_only=True,
)

CLIENTS = {"vscode": VSCODE, "neovim": NEOVIM, "popup": POPUP}
"""The profiles by the names that `shardline replay --client` takes."""
