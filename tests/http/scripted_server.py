"""The real server with a scripted engine, run as a child process.

A prompt that ends with `say:TEXT` is completed with TEXT; with `hang`, never; with `steps`, with a character for each
call of `/test/step`; with `fail`, by an engine error, and with `late`, by one after the first character; with `break`,
by an unexpected error. A model named `held` loads until `/test/release` is asked, and one named `plain`
cannot infill.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shardline import logs
from shardline.engine import Chunk, Progress, Report, Request
from shardline.engine import Engine as AnyEngine
from shardline.engine.plan import GIB, DeviceShare, Plan
from shardline.engine.scripted import ScriptedEngine
from shardline.errors import GenerationError, PromptError
from shardline.http.app import Access, Service
from shardline.http.listener import Address, serve
from shardline.settings import ModelSettings, Settings

KEY = "the-key-of-the-tests"
TOKENS = 1000

SHARES = [
    DeviceShare(device=0, limit=8 * GIB, weights=4 * GIB, kv_cache=GIB // 2, workspace=GIB // 8, layers=11),
    DeviceShare(device=1, limit=8 * GIB, weights=6 * GIB, kv_cache=GIB, workspace=GIB // 8, layers=20, draft=GIB // 4),
    DeviceShare(device="cpu", limit=None, weights=GIB, kv_cache=GIB // 20, workspace=GIB // 50, layers=1),
]
DEVICE_MAP = {f"model.layers.{layer}": 0 if layer < 11 else 1 if layer < 31 else "cpu" for layer in range(32)}
PLACEMENT = Plan(model="scripted", dtype="float16", device_map=DEVICE_MAP, devices=tuple(SHARES))


def script(request: Request) -> str:
    if any(token >= TOKENS for token in request.prompt_ids):
        raise PromptError("The script knows no such token.")
    if request.prefix.endswith("fail"):
        raise GenerationError("The script says that this fails.")
    if request.prefix.endswith("break"):
        raise LookupError(request.prefix)
    if request.prefix.endswith(("hang", "steps")):
        return "x" * 1000
    return request.prefix.partition("say:")[2] or "nothing"


class Engine(ScriptedEngine):
    def __init__(self, name: str) -> None:
        super().__init__(script, self.before_chunk, confidence=0.5)
        self.name = name
        self.steps = asyncio.Semaphore(0)
        self.steps_taken = 0
        self.release = asyncio.Event()

    async def before_chunk(self, request: Request) -> None:
        if request.prefix.endswith("hang"):
            await asyncio.Event().wait()
        if request.prefix.endswith("steps"):
            await self.steps.acquire()
            self.steps_taken += 1
        await asyncio.sleep(0)

    async def load(self, report: Report, *, beside: AnyEngine | None = None) -> None:  # noqa: ARG002  as all
        report(Progress(activity=f"Downloading {self.name}", done=12, total=96, unit="bytes"))
        if self.name == "held":
            await self.release.wait()

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        async with aclosing(super().complete(request)) as chunks:
            async for chunk in chunks:
                yield chunk
                if request.prefix.endswith("late"):
                    raise GenerationError("This fails late.")

    @property
    def infills(self) -> bool:
        return self.name != "plain"

    @property
    def placement(self) -> Plan | None:
        return PLACEMENT

    def routes(self, _: Service) -> Sequence[Route]:
        async def told(_: HttpRequest) -> Response:
            return JSONResponse(
                {
                    "requests": [asdict(request) for request in self.requests],
                    "cancelled": len(self.cancelled),
                    "warmed": [asdict(request) for request in self.warmed],
                    "steps": self.steps_taken,
                }
            )

        async def step(_: HttpRequest) -> Response:
            self.steps.release()
            return JSONResponse({})

        async def let_load(_: HttpRequest) -> Response:
            self.release.set()
            return JSONResponse({})

        return [Route("/test/told", told), Route("/test/step", step), Route("/test/release", let_load)]


if __name__ == "__main__":
    name, idle = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else None
    certificate, private_key = map(Path, sys.argv[3:]) if len(sys.argv) > 3 else (None, None)
    logs.configure("info")
    engine = Engine(name)
    serve(
        engine,
        Settings(model=ModelSettings(name=name)),
        Access(key=KEY, idle=idle),
        Address(certificate=certificate, private_key=private_key),
        routes=engine.routes,
        on_listening=lambda url: print(f"Listening on {url}", flush=True),  # noqa: T201
    )
