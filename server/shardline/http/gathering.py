"""Fewer and longer chunks: each that is sent wakes another process, which takes the cores from the next step."""

import math
import time
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import replace

from shardline.engine import Chunk

GATHER_SECONDS = 0.03
"""What comes sooner after a chunk that was sent is kept for the next: so many milliseconds nobody sees."""


async def gathered(chunks: AsyncIterable[Chunk], seconds: float = GATHER_SECONDS) -> AsyncGenerator[Chunk, None]:
    """The same stream in fewer chunks; where a line or the stream ends, nothing is kept.

    What is kept waits for the next chunk, not for a time: a model that is slower than `seconds` is told of at once.
    """
    kept: Chunk | None = None
    sent = -math.inf
    async for chunk in chunks:
        kept = _joined(kept, chunk) if kept else chunk
        now = time.monotonic()
        if chunk.finish_reason or "\n" in chunk.text or now - sent >= seconds:
            yield kept
            kept, sent = None, now


def _joined(kept: Chunk, chunk: Chunk) -> Chunk:
    return replace(chunk, text=kept.text + chunk.text, tokens=kept.tokens + chunk.tokens)
