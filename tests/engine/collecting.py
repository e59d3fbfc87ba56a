"""Collecting of streams."""

from shardline.engine import Request
from shardline.engine.local.engine import LocalEngine


async def collect(engine: LocalEngine, request: Request) -> str:
    return "".join([chunk.text async for chunk in engine.complete(request)])
