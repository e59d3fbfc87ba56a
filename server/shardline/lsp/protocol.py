"""What differs from pygls' own protocol: text sync that is ours, and small mistakes of clients forgiven."""

from collections.abc import Callable, Generator
from typing import Any

from cattrs import Converter
from lsprotocol import types
from pygls.protocol import LanguageServerProtocol, default_converter, lsp_method

from shardline.lsp.documents import Documents
from shardline.lsp.registration import keep_back


class Protocol(LanguageServerProtocol):
    """Keeps the open documents in `documents`, in place of pygls' workspace."""

    def __init__(self, server: Any, converter: Converter) -> None:
        super().__init__(server, converter)
        self.documents = Documents()

    @property
    def ended_well(self) -> bool:
        """Whether the client asked the server to shut down before it went."""
        return self._shutdown

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """Answer as pygls does, but for what is offered once there is a model."""
        result = yield from super().lsp_initialize(params)
        keep_back(result.capabilities, params.capabilities)
        return result

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> Generator[Any, Any, None]:
        """Take the document's text."""
        self.documents.open(params.text_document)
        yield from self._tell(types.TEXT_DOCUMENT_DID_OPEN, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Generator[Any, Any, None]:
        """Apply the edits."""
        document = params.text_document
        self.documents.change(document.uri, document.version, params.content_changes)
        yield from self._tell(types.TEXT_DOCUMENT_DID_CHANGE, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> Generator[Any, Any, None]:
        """Forget the text."""
        self.documents.close(params.text_document.uri)
        yield from self._tell(types.TEXT_DOCUMENT_DID_CLOSE, params)

    def _tell(self, method: str, params: Any) -> Generator[Any, Any, None]:
        handler: Callable[..., Any] | None = self.fm.features.get(method)
        if handler is not None:
            yield handler, (params,), None


def converter() -> Converter:
    """The converter of pygls, but taking `triggerKind` 0, which vscode-languageclient 9 sends for "by hand"."""
    result: Converter = default_converter()  # type: ignore[no-untyped-call]

    def trigger_kind(value: Any, _: Any) -> types.InlineCompletionTriggerKind:
        return types.InlineCompletionTriggerKind(value or types.InlineCompletionTriggerKind.Invoked)

    result.register_structure_hook(types.InlineCompletionTriggerKind, trigger_kind)
    return result
