"""Progress bar of the client."""

import asyncio
import logging
import uuid

from lsprotocol.types import WorkDoneProgressBegin, WorkDoneProgressEnd, WorkDoneProgressReport
from pygls.lsp.server import LanguageServer

CLIENT_SECONDS = 2.0
"""Work goes on without a progress bar if the client takes longer than this."""

log = logging.getLogger(__name__)


class ProgressBar:
    """At most one progress bar at a time; none if the client lacks them."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._token = ""  # empty without a bar

    async def begin(self, message: str) -> None:
        """Open a progress bar in place of an open one."""
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
        """Show progress in words, and in percent if known."""
        if self._token:
            report = WorkDoneProgressReport(message=message, percentage=percentage)
            self._server.work_done_progress.report(self._token, report)

    def end(self, message: str) -> None:
        """Close the progress bar if it is open."""
        if self._token:
            self._server.work_done_progress.end(self._token, WorkDoneProgressEnd(message=message))
            self._token = ""
