"""Chunks that are sent together: on few cores each message costs the model a moment of a core."""

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from shardline.engine import Chunk

SECONDS = 0.05
"""How long the rest of a line may wait for more of it."""

_WORD_ENDED = re.compile(r"\s*(\w+\W|[^\w\s].)", re.DOTALL)


async def gathered(chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    """The same chunks, but of those within a line, behind its first word, some at once.

    Where a suggestion ends is told by line ends and by first words, so nobody waits longer for that. What is held back
    is sent with the next chunk, of which the last one has a finish reason.
    """
    line, held, sent = "", None, 0.0
    async with aclosing(chunks):
        async for chunk in chunks:
            is_inside = bool(_WORD_ENDED.match(line)) and "\n" not in chunk.text
            line = (line + chunk.text).rpartition("\n")[2]
            held = chunk if held is None else _joined(held, chunk)
            now = time.monotonic()
            if not is_inside or chunk.finish_reason or now - sent >= SECONDS:
                yield held
                held, sent = None, now


def _joined(first: Chunk, second: Chunk) -> Chunk:
    """One chunk in place of two: all but text and tokens is of the whole stream so far."""
    return replace(second, text=first.text + second.text, tokens=(*first.tokens, *second.tokens))
