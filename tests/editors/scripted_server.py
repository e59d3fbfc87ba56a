"""The real server before an engine that knows the cases: what the editors of the tests start as `shardline`."""

import sys

from shardline import logs
from shardline.engine.scripted import ScriptedEngine
from shardline.lsp.server import ShardlineServer
from shardline.lsp.transport import serve_stdio
from shardline.settings import GenerationSettings, Settings
from tests.editors.cases import suggested

if __name__ == "__main__":
    logs.configure("warning")
    settings = Settings(generation=GenerationSettings(max_tokens=512))  # characters, to the scripted engine
    server = ShardlineServer("0", settings, lambda _: ScriptedEngine(lambda request: suggested(request.prefix)))
    sys.exit(serve_stdio(server))
