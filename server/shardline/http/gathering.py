"""Fewer and longer chunks: each that is sent wakes another process, which takes the cores from the next step."""

import math
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import replace

from shardline.engine import Chunk

GATHER_SECONDS = 0.1
"""What comes sooner after a chunk that was sent is kept for the next one."""

BEGINNING = re.compile(r"\s*\w*")
"""A line that does not show yet what it is."""


async def gathered(chunks: AsyncIterable[Chunk], seconds: float = GATHER_SECONDS) -> AsyncGenerator[Chunk, None]:
    """The same stream in fewer chunks, with nothing kept where a suggestion may be shown or ended.

    That is where a line ends, and until the next one shows its first word. What is kept waits for another chunk, not
    for a time: a model that is slower than `seconds` is told of at once.
    """
    kept: Chunk | None = None
    sent = -math.inf
    line, decides = "", False
    async for chunk in chunks:
        kept = _joined(kept, chunk) if kept else chunk
        _, feed, last = chunk.text.rpartition("\n")
        line = last if feed else line + last
        now = time.monotonic()
        if feed or decides or chunk.finish_reason or now - sent >= seconds:
            yield kept
            kept, sent = None, now
        decides = bool(feed or decides) and BEGINNING.fullmatch(line) is not None


def _joined(kept: Chunk, chunk: Chunk) -> Chunk:
    return replace(chunk, text=kept.text + chunk.text, tokens=kept.tokens + chunk.tokens)
