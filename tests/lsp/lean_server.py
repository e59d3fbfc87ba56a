"""The real server with a scripted engine that remembers nothing, to be run as a child: for what a server costs itself.

A line that ends with `say:TEXT` is completed with TEXT. Its statistics are its own, and written every second.
"""

import gc
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from shardline import logs
from shardline.engine import Request
from shardline.engine.scripted import ScriptedEngine
from shardline.lsp.acceptance_recorder import Recorder
from shardline.lsp.server import ShardlineServer
from shardline.lsp.transport import serve_stdio
from shardline.settings import Settings
from shardline.statistics.store import Store


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
    folder = tempfile.TemporaryDirectory()
    store = Store(Path(folder.name) / "statistics.sqlite3")
    server.recorder = Recorder(lambda counts: store.add(counts, date.today()), seconds=1.0)

    @server.command("test.objects")
    def objects(*_: Any) -> int:
        gc.collect()
        return len(gc.get_objects())

    code = serve_stdio(server)
    folder.cleanup()
    sys.exit(code)
