"""Open notebooks and the order of their cells."""

from collections.abc import Sequence

from lsprotocol.types import (
    NotebookCell,
    NotebookCellKind,
    NotebookDocument,
    NotebookDocumentCellChanges,
    NotebookDocumentFilterWithNotebook,
    NotebookDocumentSyncOptions,
)

SYNC = NotebookDocumentSyncOptions(notebook_selector=[NotebookDocumentFilterWithNotebook(notebook="*")])
"""The notebooks that the client is asked to sync: all, with all cells."""


class Notebooks:
    """The cells of all notebooks that the client has open."""

    def __init__(self) -> None:
        self._open: dict[str, list[NotebookCell]] = {}

    def open(self, notebook: NotebookDocument) -> None:
        """Take a notebook that the client has opened."""
        self._open[notebook.uri] = list(notebook.cells)

    def change(self, uri: str, changes: NotebookDocumentCellChanges) -> None:
        """Apply what the client did to the cells of an open notebook, but for their texts."""
        cells = self._open.get(uri)
        if cells is None:
            return
        if changes.structure:
            array = changes.structure.array
            cells[array.start : array.start + array.delete_count] = array.cells or []
        changed = {cell.document: cell for cell in changes.data or []}
        cells[:] = [changed.get(cell.document, cell) for cell in cells]

    def close(self, uri: str) -> Sequence[str]:
        """Forget a notebook; returns the documents that were its cells."""
        return [cell.document for cell in self._open.pop(uri, [])]

    def earlier(self, document: str) -> Sequence[str]:
        """Return the code cells before this one in its notebook; none where it is no cell."""
        for cells in self._open.values():
            for number, cell in enumerate(cells):
                if cell.document == document:
                    return [other.document for other in cells[:number] if other.kind == NotebookCellKind.Code]
        return []
