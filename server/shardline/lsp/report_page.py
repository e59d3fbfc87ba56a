"""Page for editors that show nothing of a command's result."""

import contextlib
import logging
import os
import re

from lsprotocol import types
from platformdirs import user_cache_path
from pygls.lsp.server import LanguageServer

from shardline.folders import write_private

log = logging.getLogger(__name__)


class Page:
    """A private file, opened by the editor and removed when the server ends."""

    def __init__(self, server: LanguageServer, name: str) -> None:
        self._server = server
        self._name = name
        self._file = user_cache_path("shardline", appauthor=False) / f"{name}-{os.getpid()}.md"

    def show(self, text: str) -> None:
        """Write `text` and have the editor open the file, or show the user its path."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._file, text)
        except OSError as error:
            log.warning("The page cannot be written to %s (%s).", self._file.parent, error.strerror)
            return
        window = self._server.client_capabilities.window
        if window and window.show_document and window.show_document.support:
            params = types.ShowDocumentParams(uri=self._file.as_uri(), take_focus=True)
            self._server.window_show_document(params, callback=lambda _: None)
        else:
            sentence = f"It is in {self._file}."
            self._server.window_show_message(types.ShowMessageParams(types.MessageType.Info, sentence))

    def remove_left(self) -> None:
        """Remove the files of killed servers."""
        for file in self._file.parent.glob(f"{self._name}-*.md*"):
            import psutil  # lazy: such files are rare

            pid = file.name.removeprefix(f"{self._name}-").partition(".")[0]
            if re.fullmatch(r"\d{1,9}", pid) and not psutil.pid_exists(int(pid)):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
