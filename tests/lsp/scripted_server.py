"""The real server with a scripted engine behind it, to be run as a child: what it suggests is in the document.

A line that ends with `say:TEXT` is completed with TEXT, and with `say:ONE|OTHER` there are two candidates; with
`hang`, never, and with `hang:MODEL`, never by that model; with `fail`, by an engine error. One that has `hold` in it
waits for the command `test.release` first, and one that has `stall`, when a line of the suggestion is complete. A
document that begins with `unreadable` cannot be read ahead.

A model named `missing` cannot be loaded, one named `noisy` prints to standard output while it loads, one whose name
begins with `held` tells how far it is and waits for the command `test.release`, one named `large` has no room beside
another, and one named `slow` says that its answers took nine seconds, and each a second more.
"""

import asyncio
import dataclasses
import sys
from collections.abc import AsyncGenerator
from typing import Any

from shardline import logs
from shardline.engine import Chunk, Progress, Report, Request
from shardline.engine import Engine as AnyEngine
from shardline.engine.scripted import ScriptedEngine
from shardline.errors import CheckpointError, GenerationError, NoRoomError
from shardline.lsp.server import ShardlineServer
from shardline.lsp.transport import serve_stdio
from shardline.settings import Settings

engines: list["Engine"] = []
events: list[str] = []
warmed: asyncio.Queue[list[str]] = asyncio.Queue()
release = asyncio.Event()


def script(request: Request) -> str:
    last = request.prefix.rpartition("\n")[2]
    if last.endswith("fail"):
        raise GenerationError("The script says that this fails.")
    texts = last.partition("say:")[2].replace("\\n", "\n").split("|")
    return texts[min(request.choice, len(texts) - 1)] or "nothing"


class Engine(ScriptedEngine):
    def __init__(self, settings: Settings) -> None:
        super().__init__(script, self.before_chunk)
        self.settings = settings.model
        self.chunks = 0
        engines.append(self)

    async def before_chunk(self, request: Request) -> None:
        last = request.prefix.rpartition("\n")[2]
        self.chunks += 1
        if "hold" in last or ("stall" in last and self.chunks > script(request).find("\n", 1) + 1):
            await release.wait()
        hangs = request.prefix.endswith(("hang", f"hang:{self.settings.name}"))
        await (asyncio.Event().wait() if hangs else asyncio.sleep(0))

    async def load(self, report: Report, *, beside: AnyEngine | None = None) -> None:
        name = self.settings.name
        events.append(f"load {name}" + (f" beside {beside.settings.name}" if isinstance(beside, Engine) else ""))
        if name == "missing":
            raise CheckpointError("model.name: there is no model 'missing'.")
        if name == "noisy":
            print("Content-Length: 3\r\n\r\nhello")  # noqa: T201
        if name == "large" and beside:
            raise NoRoomError("large has no room.")
        if name.startswith("held"):
            report(Progress(activity=f"Downloading {name}", done=12_000_000, total=96_000_000, unit="bytes"))
            await release.wait()
            report(Progress(activity=f"Loading {name}", done=3, total=30, unit="layers"))
            report(Progress(activity=f"Loading {name}", done=4, total=30, unit="layers"))
            report(Progress(activity="Warming up"))
            await asyncio.sleep(0)  # as long as it takes to tell
        await super().load(report, beside=beside)
        events.append(f"loaded {name}")

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().complete(request):
            if self.settings.name == "slow":
                slow = dataclasses.replace(chunk.usage, total_time=chunk.usage.total_time + 8 + len(self.requests))
                chunk = dataclasses.replace(chunk, usage=slow)
            yield chunk

    def close(self) -> None:
        super().close()
        events.append(f"close {self.settings.name}")

    async def wait_closed(self) -> None:
        await super().wait_closed()
        events.append(f"free {self.settings.name}")

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
                "forgotten": engine.forgotten,
                "closed": engine.closed,
            }
            for engine in engines
        ]

    @server.command("test.events")
    def happened(*_: Any) -> list[str]:
        return events

    @server.command("test.release")
    def let_load(*_: Any) -> None:
        release.set()

    @server.command("test.warmed")
    async def next_warmed(*_: Any) -> list[str]:
        return await warmed.get()

    sys.exit(serve_stdio(server))
