"""Open notebooks and the order of their cells.

The text of a cell is a document.
"""

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
"""The options that sync every notebook with all its cells."""


class Notebooks:
    """The cells of all open notebooks."""

    def __init__(self) -> None:
        self._open: dict[str, list[NotebookCell]] = {}

    def open(self, notebook: NotebookDocument) -> None:
        """Store a notebook that the client opened."""
        self._open[notebook.uri] = list(notebook.cells)

    def change(self, uri: str, changes: NotebookDocumentCellChanges) -> None:
        """Apply changes to the cells of an open notebook, except to their texts."""
        cells = self._open.get(uri)
        if cells is None:
            return
        if changes.structure:
            array = changes.structure.array
            cells[array.start : array.start + array.delete_count] = array.cells or []
        changed = {cell.document: cell for cell in changes.data or []}
        cells[:] = [changed.get(cell.document, cell) for cell in cells]

    def close(self, uri: str) -> Sequence[str]:
        """Drop a notebook and return the documents of its cells."""
        return [cell.document for cell in self._open.pop(uri, [])]

    def earlier(self, document: str) -> Sequence[str]:
        """Return the code cells before this one in its notebook; empty if it is no cell."""
        for cells in self._open.values():
            for index, cell in enumerate(cells):
                if cell.document == document:
                    return [other.document for other in cells[:index] if other.kind == NotebookCellKind.Code]
        return []
