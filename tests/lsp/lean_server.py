"""The real server with a scripted engine that remembers nothing, to be run as a child: for what a server costs itself.

A line that ends with `say:TEXT` is completed with TEXT.
"""

import gc
import sys
from typing import Any

from shardline import logs
from shardline.engine import Request
from shardline.engine.scripted import ScriptedEngine
from shardline.lsp.server import ShardlineServer
from shardline.lsp.transport import serve_stdio
from shardline.settings import Settings


class Engine(ScriptedEngine):
    def __init__(self, _: Settings) -> None:
        super().__init__(self.say)

    def say(self, request: Request) -> str:
        for kept in (self.requests, self.cancelled, self.warmed, self.forgotten):
            kept.clear()
        return request.prefix.rpartition("say:")[2]


if __name__ == "__main__":
    logs.configure("warning")
    server = ShardlineServer("0", Settings(), Engine)

    @server.command("test.objects")
    def objects(*_: Any) -> int:
        gc.collect()
        return len(gc.get_objects())

    serve_stdio(server)
    sys.exit(0 if server.protocol.ended_well else 1)
