"""The real server, with its own settings, before an engine that needs a second for each suggestion."""

import asyncio
import sys

from shardline import logs
from shardline.engine import Request
from shardline.engine.scripted import ScriptedEngine
from shardline.lsp.server import ShardlineServer
from shardline.lsp.transport import serve_stdio
from shardline.settings import CompletionSettings, Settings

SECONDS = 1.0
SUGGESTED = "_that_was_slow"


async def write_slowly(_: Request) -> None:
    """Take a second for the whole."""
    await asyncio.sleep(SECONDS / len(SUGGESTED))


if __name__ == "__main__":
    logs.configure("warning")
    settings = Settings(completion=CompletionSettings(prepare=False, warm=False))
    server = ShardlineServer("0", settings, lambda _: ScriptedEngine(lambda _: SUGGESTED, write_slowly))
    serve_stdio(server)
    server.close()
    sys.exit(0 if server.protocol.ended_well else 1)
