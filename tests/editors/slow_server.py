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


class Engine(ScriptedEngine):
    """Says the same behind everything, after a second."""

    def __init__(self) -> None:
        super().__init__(self._script, self._wait)
        self._begun: set[int] = set()

    def _script(self, request: Request) -> str:
        return SUGGESTED

    async def _wait(self, request: Request) -> None:
        if id(request) not in self._begun:
            self._begun.add(id(request))
            await asyncio.sleep(SECONDS)


if __name__ == "__main__":
    logs.configure("warning")
    settings = Settings(completion=CompletionSettings(prepare=False, warm=False))
    server = ShardlineServer("0", settings, lambda _: Engine())
    serve_stdio(server)
    server.close()
    sys.exit(0 if server.protocol.ended_well else 1)
