"""Several completions as one stream."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from shardline.engine import Chunk, Request
from shardline.http.admitted_engine import AdmittedEngine

MAX_PARALLEL = 8
"""Completions of one client's request that run at once, so that others get their turns too."""


async def complete_all(engine: AdmittedEngine, requests: Sequence[Request]) -> AsyncGenerator[tuple[int, Chunk], None]:
    """Yield each chunk that answers one of `requests`, with its index; raises `ShardlineError`."""
    if len(requests) == 1:  # without a queue
        async with aclosing(engine.complete(requests[0])) as chunks:
            async for chunk in chunks:
                yield 0, chunk
        return
    stream: asyncio.Queue[tuple[int, Chunk] | None] = asyncio.Queue()
    turns = asyncio.Semaphore(MAX_PARALLEL)

    async def complete(index: int, request: Request) -> None:
        async with turns, aclosing(engine.complete(request)) as chunks:
            async for chunk in chunks:
                stream.put_nowait((index, chunk))

    tasks = [asyncio.ensure_future(complete(index, request)) for index, request in enumerate(requests)]
    all_done = asyncio.gather(*tasks)
    all_done.add_done_callback(lambda _: stream.put_nowait(None))
    try:
        while item := await stream.get():
            yield item
        await all_done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
