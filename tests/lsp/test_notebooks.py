"""Notebooks over a real pipe: a cell is completed with the earlier cells of its language before it."""

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shardline.completion import Source
from shardline.completion.code import excerpt
from shardline.lsp.documents import split_lines
from tests.lsp.wire import GHOST, Wire, at, span, talking

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
NOTEBOOK = "file:///work/a.ipynb"
MARKUP, CODE = 1, 2


def uri(name: str) -> str:
    return f"vscode-notebook-cell:/work/a.ipynb#{name}"


def cell(name: str, kind: int = CODE) -> dict[str, Any]:
    return {"kind": kind, "document": uri(name)}


def document(name: str, text: str, language: str = "python") -> dict[str, Any]:
    return {"uri": uri(name), "languageId": language, "version": 1, "text": text}


class Notebook:
    """A notebook as VS Code tells of it."""

    def __init__(self, wire: Wire, cells: Sequence[dict[str, Any]], documents: Sequence[dict[str, Any]]) -> None:
        self.wire = wire
        notebook = {"uri": NOTEBOOK, "notebookType": "jupyter-notebook", "version": 1, "cells": cells}
        wire.notify("notebookDocument/didOpen", {"notebookDocument": notebook, "cellTextDocuments": documents})

    def change(self, **cells: Any) -> None:
        params = {"notebookDocument": {"uri": NOTEBOOK, "version": 2}, "change": {"cells": cells}}
        self.wire.notify("notebookDocument/didChange", params)

    async def shown(self, name: str, line: int, character: int) -> str | None:
        """Return what the model is shown before the cursor; None where it is not asked."""
        before = await self._prefixes()
        await self.wire.ask(GHOST, at(line, character, uri(name)))
        after = await self._prefixes()
        return str(after[-1]) if len(after) > len(before) else None

    async def _prefixes(self) -> list[str]:
        (engine,) = await self.wire.ask("workspace/executeCommand", {"command": "test.engines"})
        return list(engine["requests"])


@pytest.fixture
async def notebook() -> AsyncIterator[Notebook]:
    """Four cells: Python, text, Python, and another language."""
    async with talking(COMMAND) as wire:
        await wire.greet({"notebookDocument": {"synchronization": {}}})
        yield Notebook(
            wire,
            [cell("one"), cell("text", MARKUP), cell("two"), cell("sql")],
            [
                document("one", "import math"),
                document("text", "Some words.", "markdown"),
                document("two", "x = 1\ny = say:(x)\nz = 3\n"),
                document("sql", "select", "sql"),
            ],
        )


@pytest.mark.parametrize(
    ("capabilities", "sync"),
    [({"notebookDocument": {"synchronization": {}}}, {"notebookSelector": [{"notebook": "*"}]}), ({}, None)],
)
async def test_clients_with_notebooks_are_asked_for_them(capabilities: dict[str, Any], sync: Any) -> None:
    async with talking(COMMAND) as wire:
        assert (await wire.greet(capabilities)).get("notebookDocumentSync") == sync


async def test_a_cell_is_completed_with_the_code_of_earlier_cells(notebook: Notebook) -> None:
    assert await notebook.shown("two", 1, 11) == "import math\nx = 1\ny = say:(x)"
    (item,) = await notebook.wire.ask(GHOST, at(1, 11, uri("two")))
    assert item["insertText"] == "(x)"
    assert item["range"] == span(1, 11, 1, 11)  # the cell's own
    assert await notebook.shown("one", 0, 11) == "import math"
    assert await notebook.shown("sql", 0, 6) == "select"


async def test_what_is_typed_in_an_earlier_cell_is_seen_in_later_ones(notebook: Notebook) -> None:
    edits = [{"range": span(0, 7, 0, 11), "text": "os\nimport re"}]
    notebook.change(textContent=[{"document": {"uri": uri("one"), "version": 2}, "changes": edits}])
    assert await notebook.shown("two", 0, 5) == "import os\nimport re\nx = 1"


async def test_cells_are_inserted_moved_deleted_and_changed_in_kind(notebook: Notebook) -> None:
    new = document("new", "n = 0\n")
    notebook.change(structure={"array": {"start": 1, "deleteCount": 0, "cells": [cell("new")]}, "didOpen": [new]})
    assert await notebook.shown("two", 0, 5) == "import math\nn = 0\nx = 1"
    notebook.change(structure={"array": {"start": 0, "deleteCount": 2, "cells": [cell("new"), cell("one")]}})
    assert await notebook.shown("two", 0, 5) == "n = 0\nimport math\nx = 1"
    notebook.change(data=[cell("new", MARKUP)])
    assert await notebook.shown("two", 0, 5) == "import math\nx = 1"
    closed = {"array": {"start": 1, "deleteCount": 1}, "didClose": [{"uri": uri("one")}]}
    notebook.change(structure=closed)
    assert await notebook.shown("two", 0, 5) == "x = 1"
    assert await notebook.shown("one", 0, 5) is None
    notebook.change()  # only its outputs
    notebook.wire.notify(
        "notebookDocument/didChange", {"notebookDocument": {"uri": NOTEBOOK, "version": 3}, "change": {}}
    )
    assert await notebook.shown("two", 0, 4) == "x = "


async def test_a_closed_notebook_is_forgotten(notebook: Notebook) -> None:
    cells = [{"uri": uri(name)} for name in ("one", "text", "two", "sql")]
    closing = {"notebookDocument": {"uri": NOTEBOOK}, "cellTextDocuments": cells}
    notebook.wire.notify("notebookDocument/didClose", closing)
    assert await notebook.shown("two", 0, 5) is None
    notebook.change(structure={"array": {"start": 0, "deleteCount": 0, "cells": [cell("late")]}})
    assert await notebook.shown("late", 0, 0) is None


async def test_a_notebook_whose_changes_cannot_be_read_is_not_known_any_more(notebook: Notebook) -> None:
    assert await notebook.shown("two", 0, 5)
    notebook.change(textContent=7)
    assert await notebook.shown("two", 0, 4) is None


def test_the_window_of_a_cell_is_bounded_and_its_edge_stays_put() -> None:
    above = ["x = 'some text of a line'\n"] * 20_000
    lines = split_lines("y = 2\n" * 200)
    starts = set()
    for line in range(100, 160):
        source = Source(document="d", language="python", lines=lines, line=line, column=5, above=above)
        prefix, suffix = excerpt.window(source)
        assert excerpt.PREFIX_CHARACTERS // 2 <= len(prefix) <= excerpt.PREFIX_CHARACTERS
        assert prefix.endswith("'\n" + "y = 2\n" * line + "y = 2")
        assert suffix.startswith("\ny")
        starts.add(line - prefix.count("\n"))
    assert len(starts) <= 2
