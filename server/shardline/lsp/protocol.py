"""pygls' protocol with our text sync and tolerance for clients' mistakes."""

from collections.abc import Callable, Generator, Sequence
from typing import Any

from cattrs import Converter
from lsprotocol import types
from pygls.protocol import default_converter, lsp_method

from shardline.lsp.base_protocol.jsonrpc import MessageProtocol
from shardline.lsp.documents import Documents
from shardline.lsp.registration import keep_back


class Protocol(MessageProtocol):
    """A protocol that keeps the open documents in `documents`, in place of pygls' workspace."""

    def __init__(self, server: Any, converter: Converter) -> None:
        super().__init__(server, converter)
        self.documents = Documents()

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """Answer as pygls does, but leave out what is offered once there is a model."""
        params.root_uri = params.root_path = params.workspace_folders = None  # not needed, and pygls fails at odd ones
        self.greeted.set()
        result = yield from super().lsp_initialize(params)
        keep_back(result.capabilities, params.capabilities)
        return result

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> Generator[Any, Any, None]:
        """Store the document's text."""
        self.documents.open(params.text_document)
        yield from self._call_handler(types.TEXT_DOCUMENT_DID_OPEN, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Generator[Any, Any, None]:
        """Apply the edits."""
        document = params.text_document
        self.documents.change(document.uri, document.version, params.content_changes)
        yield from self._call_handler(types.TEXT_DOCUMENT_DID_CHANGE, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> Generator[Any, Any, None]:
        """Drop the text."""
        self.documents.close(params.text_document.uri)
        yield from self._call_handler(types.TEXT_DOCUMENT_DID_CLOSE, params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: types.DidOpenNotebookDocumentParams) -> Generator[Any, Any, None]:
        """Store the cells, each as a document."""
        self.documents.notebooks.open(params.notebook_document)
        yield from self._open_cells(params.cell_text_documents)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(
        self, params: types.DidChangeNotebookDocumentParams
    ) -> Generator[Any, Any, None]:
        """Reorder the cells and apply the edits inside them."""
        changes = params.change.cells
        if changes is None:
            return
        self.documents.notebooks.change(params.notebook_document.uri, changes)
        if changes.structure:
            yield from self._open_cells(changes.structure.did_open or [])
            yield from self._close_cells(changes.structure.did_close or [])
        for edited in changes.text_content or []:
            edits = types.DidChangeTextDocumentParams(edited.document, edited.changes)
            yield from self.lsp_text_document__did_change(edits)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(
        self, params: types.DidCloseNotebookDocumentParams
    ) -> Generator[Any, Any, None]:
        """Drop the cells."""
        self.documents.notebooks.close(params.notebook_document.uri)
        yield from self._close_cells(params.cell_text_documents)

    def handle_unreadable(self, method: str, params: Any) -> None:
        """Drop a document whose edits are unreadable: better no suggestion than a false one."""
        match method, params:
            case types.TEXT_DOCUMENT_DID_CHANGE, {"textDocument": {"uri": str(uri)}}:
                self.documents.close(uri)
            case types.NOTEBOOK_DOCUMENT_DID_CHANGE, {"notebookDocument": {"uri": str(uri)}}:
                for cell in self.documents.notebooks.close(uri):
                    self.documents.close(cell)

    def _open_cells(self, cells: Sequence[types.TextDocumentItem]) -> Generator[Any, Any, None]:
        for cell in cells:
            yield from self.lsp_text_document__did_open(types.DidOpenTextDocumentParams(cell))

    def _close_cells(self, cells: Sequence[types.TextDocumentIdentifier]) -> Generator[Any, Any, None]:
        for cell in cells:
            yield from self.lsp_text_document__did_close(types.DidCloseTextDocumentParams(cell))

    def _call_handler(self, method: str, params: Any) -> Generator[Any, Any, None]:
        handler: Callable[..., Any] | None = self.fm.features.get(method)
        if handler is not None:
            yield handler, (params,), None


def converter() -> Converter:
    """Return pygls' converter, adapted to clients and to the specification.

    It accepts `triggerKind` 0, which vscode-languageclient 9 sends for "by hand", a null `range`, and newer values of
    enumerations. It converts nothing else to text or numbers.
    """
    result: Converter = default_converter()  # type: ignore[no-untyped-call]

    def trigger_kind(value: Any, _: Any) -> types.InlineCompletionTriggerKind:
        return types.InlineCompletionTriggerKind(value or types.InlineCompletionTriggerKind.Invoked)

    part, whole = types.TextDocumentContentChangePartial, types.TextDocumentContentChangeWholeDocument

    def change(value: Any, _: Any) -> types.TextDocumentContentChangeEvent:
        if value.get("range") is None:
            return result.structure(value, whole)
        return result.structure(value, part)

    for kind in (str, int):
        result.register_structure_hook(kind, _primitive)
    result.register_structure_hook(types.InlineCompletionTriggerKind, trigger_kind)
    result.register_structure_hook(part | whole, change)
    result.register_structure_hook(types.LanguageKind | str, lambda value, _: _primitive(value, str))
    return result


def _primitive(value: Any, kind: type[Any]) -> Any:
    """Return `value` as a string, a number or a member of an enumeration; an unknown member stays as it is."""
    if kind in (str, int) and type(value) is not kind:
        raise TypeError(f"{type(value).__name__} is not {kind.__name__}")
    try:
        return kind(value)
    except ValueError:
        return value
