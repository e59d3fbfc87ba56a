"""Progress bar of the client, where it has them."""

import asyncio
import logging
import uuid

from lsprotocol.types import WorkDoneProgressBegin, WorkDoneProgressEnd, WorkDoneProgressReport
from pygls.lsp.server import LanguageServer

CLIENT_SECONDS = 2.0
"""How long a client may take to make a progress bar before work goes on without."""

log = logging.getLogger(__name__)


class ProgressBar:
    """One progress bar at a time; does nothing where the client has none."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._token = ""  # while there is one

    async def begin(self, message: str) -> None:
        """Open it, in place of one that is open."""
        self.end("Not needed any more")
        window = self._server.client_capabilities.window
        if not (window and window.work_done_progress):
            return
        token, bar = f"shardline/{uuid.uuid4()}", self._server.work_done_progress
        try:
            async with asyncio.timeout(CLIENT_SECONDS):
                await bar.create_async(token)
        except Exception as error:  # noqa: BLE001  a client that refuses or never answers gets no bar
            log.warning("The client does not show progress (%s).", type(error).__name__)
            return
        self._token = token
        bar.begin(token, WorkDoneProgressBegin(title="Shardline", message=message, percentage=0))

    def report(self, message: str, percentage: int | None) -> None:
        """Show how far it is, in words and of 100 where that is known."""
        if self._token:
            report = WorkDoneProgressReport(message=message, percentage=percentage)
            self._server.work_done_progress.report(self._token, report)

    def end(self, message: str) -> None:
        """Close it, if it is open."""
        if self._token:
            self._server.work_done_progress.end(self._token, WorkDoneProgressEnd(message=message))
            self._token = ""
