"""Prefill around the cursor while nothing else happens."""

import asyncio
import logging

from shardline.completion import Source
from shardline.completion.completer import Completer
from shardline.errors import EngineError

PAUSE_SECONDS = 0.3
"""Prefill begins when nothing was opened, typed or requested for this long."""

log = logging.getLogger(__name__)


class ReadAhead:
    """Warms the KV cache at the position where the user worked last."""

    def __init__(self) -> None:
        self._source: Source | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, completer: Completer | None, source: Source | None = None, *, pause: float = PAUSE_SECONDS) -> None:
        """Warm `source` after `pause` seconds, by default the latest one; only remember it without a `completer`."""
        self.stop()
        self._source = source or self._source
        if completer and self._source:
            self._task = asyncio.create_task(_warm(completer, self._source, pause))

    def stop(self) -> None:
        """Cancel the pending or running prefill."""
        if self._task:
            self._task.cancel()
        self._task = None

    def close_document(self, document: str) -> None:
        """Stop if `document` is the one the user worked in last."""
        if self._source and self._source.document == document:
            self.stop()
            self._source = None


async def _warm(completer: Completer, source: Source, pause: float) -> None:
    await asyncio.sleep(pause)
    try:
        await completer.warm(source)
    except EngineError as error:
        log.warning("Nothing was read ahead. %s", error)  # the next request reports it to the user
