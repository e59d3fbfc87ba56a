"""Several workspace folders: documents are completed wherever they are, and folders may come and go."""

import sys
from pathlib import Path

from tests.lsp.wire import GHOST, at, opened, talking

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
FOLDERS = [{"uri": f"file:///{name}", "name": name} for name in ("one", "two", "three")]


async def test_documents_of_all_folders_are_completed() -> None:
    async with talking(COMMAND) as wire:
        capabilities = await wire.greet({"workspace": {"workspaceFolders": True}}, workspaceFolders=FOLDERS[:2])
        assert capabilities["workspace"]["workspaceFolders"] == {"supported": True, "changeNotifications": True}
        change = {"event": {"added": FOLDERS[2:], "removed": [FOLDERS[0], {"uri": "file:///none", "name": "none"}]}}
        wire.notify("workspace/didChangeWorkspaceFolders", change)
        for folder in FOLDERS:
            uri = folder["uri"] + "/a.py"
            wire.notify("textDocument/didOpen", opened(f"say:{folder['name']}", uri))
            (item,) = await wire.ask(GHOST, at(0, 99, uri))
            assert item["insertText"] == folder["name"]
        assert "window/showMessage" not in wire.notified
