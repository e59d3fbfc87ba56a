"""The real server before an engine that knows the cases: what the editors of the tests start as `shardline`."""

import sys
from pathlib import Path

from shardline import logs
from shardline.engine import Request
from shardline.engine.scripted import ScriptedEngine
from shardline.lsp.server import ShardlineServer
from shardline.lsp.transport import serve_stdio
from shardline.settings import CompletionSettings, GenerationSettings, Settings
from tests.editors.cases import suggested
from tests.editors.home import READY


class Engine(ScriptedEngine):
    """Suggests what the cases say, and marks when it first reads a document ahead: then all is ready."""

    def __init__(self) -> None:
        super().__init__(lambda request: suggested(request.prefix))

    async def warm(self, request: Request) -> None:
        """Leave the mark."""
        await super().warm(request)
        (Path.home() / READY).touch()


if __name__ == "__main__":
    logs.configure("warning")
    settings = Settings(
        generation=GenerationSettings(max_tokens=512),  # characters, to the scripted engine
        completion=CompletionSettings(popup_budget=5000),  # whatever else this machine does
    )
    server = ShardlineServer("0", settings, lambda _: Engine())
    sys.exit(serve_stdio(server))
