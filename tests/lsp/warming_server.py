"""The real server with the engine of this machine, to be run as a child: it tells when the engine has read ahead."""

import asyncio
import sys
from typing import Any

from shardline import logs
from shardline.engine import Request
from shardline.engine.local.engine import LocalEngine
from shardline.lsp.server import ShardlineServer
from shardline.lsp.transport import serve_stdio
from shardline.settings import Settings

warmed: asyncio.Queue[list[str]] = asyncio.Queue()


class Engine(LocalEngine):
    async def warm(self, request: Request) -> None:
        await super().warm(request)
        warmed.put_nowait([request.prefix, request.suffix])


if __name__ == "__main__":
    logs.configure("warning")
    server = ShardlineServer("0", Settings(), lambda settings: Engine(settings.model))

    @server.command("test.warmed")
    async def next_warmed(*_: Any) -> list[str]:
        return await warmed.get()

    sys.exit(serve_stdio(server))
