"""The real server with a scripted engine behind it, to be run as a child: what it suggests is in the document.

A line that ends with `say:TEXT` is completed with TEXT, and with `say:ONE|OTHER` there are two candidates; with
`hang`, never; with `fail`, by an engine error. A model named `missing` cannot be loaded, and one named `noisy` prints
to standard output while it loads. A document that begins with `unreadable` cannot be read ahead.
"""

import asyncio
import sys
from typing import Any

from shardline import logs
from shardline.engine import Report, Request
from shardline.engine.scripted import ScriptedEngine
from shardline.errors import CheckpointError, GenerationError
from shardline.lsp.server import ShardlineServer
from shardline.lsp.transport import serve_stdio
from shardline.settings import ModelSettings, Settings

engines: list["Engine"] = []
warmed: asyncio.Queue[list[str]] = asyncio.Queue()


def script(request: Request) -> str:
    last = request.prefix.rpartition("\n")[2]
    if last.endswith("fail"):
        raise GenerationError("The script says that this fails.")
    texts = last.partition("say:")[2].replace("\\n", "\n").split("|")
    return texts[min(request.choice, len(texts) - 1)] or "nothing"


async def before_chunk(request: Request) -> None:
    await (asyncio.Event().wait() if request.prefix.endswith("hang") else asyncio.sleep(0))


class Engine(ScriptedEngine):
    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(script, before_chunk)
        self.settings = settings
        engines.append(self)

    async def load(self, report: Report) -> None:
        if self.settings.name == "missing":
            raise CheckpointError("model.name: there is no model 'missing'.")
        if self.settings.name == "noisy":
            print("Content-Length: 3\r\n\r\nhello")  # noqa: T201
        await super().load(report)

    async def warm(self, request: Request) -> None:
        await super().warm(request)
        warmed.put_nowait([request.prefix, request.suffix])
        if request.suffix.startswith("unreadable"):
            raise GenerationError("The script says that this cannot be read.")


if __name__ == "__main__":
    logs.configure("warning")
    server = ShardlineServer("0", Settings(), Engine)

    @server.command("test.engines")
    def told(*_: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": engine.settings.name,
                "max_memory": engine.settings.max_memory,
                "requests": [request.prefix for request in engine.requests],
                "suffixes": [request.suffix for request in engine.requests],
                "max_tokens": [request.max_tokens for request in engine.requests],
                "cancelled": len(engine.cancelled),
                "warmed": len(engine.warmed),
                "closed": engine.closed,
            }
            for engine in engines
        ]

    @server.command("test.warmed")
    async def next_warmed(*_: Any) -> list[str]:
        return await warmed.get()

    serve_stdio(server)
    sys.exit(0 if server.protocol.ended_well else 1)
