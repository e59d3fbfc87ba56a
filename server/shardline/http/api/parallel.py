"""Several completions at once, as one stream."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from shardline.engine import Chunk, Engine, Request
from shardline.http.prompt_slots import Slots

TOGETHER = 8
"""So many completions of one client's request are asked for at once; others get their turns too."""


async def complete_all(
    engine: Engine, slots: Slots, requests: Sequence[Request]
) -> AsyncGenerator[tuple[int, Chunk], None]:
    """Stream what `engine` says to each of `requests`, with its number; raises `ShardlineError`.

    Each gets a document of its own from `slots`.
    """
    stream: asyncio.Queue[tuple[int, Chunk] | None] = asyncio.Queue()
    turns = asyncio.Semaphore(TOGETHER)

    async def complete(number: int, request: Request) -> None:
        prompt = request.prompt_ids or request.prefix
        async with turns:
            with slots.lend(prompt) as document:
                async with aclosing(engine.complete(replace(request, document=document))) as chunks:
                    async for chunk in chunks:
                        stream.put_nowait((number, chunk))

    tasks = [asyncio.ensure_future(complete(number, request)) for number, request in enumerate(requests)]
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
