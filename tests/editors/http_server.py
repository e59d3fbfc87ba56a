"""`shardline serve` before an engine that knows the cases, for plugins that ask by HTTP."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shardline import logs
from shardline.engine import Chunk, Request
from shardline.engine.scripted import ScriptedEngine
from shardline.http.app import Access
from shardline.http.listener import Address, serve
from shardline.settings import Settings
from tests.editors.cases import suggested_at
from tests.editors.home import ROOT
from tests.editors.waiting import until

KEY = "the-key-of-the-editors"
CHARACTERS_OF_A_TOKEN = 4


class Engine(ScriptedEngine):
    """Suggests what the cases say, in tokens that are as long as a model's."""

    def __init__(self) -> None:
        super().__init__(lambda request: suggested_at(request.prefix))

    def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream what the cases say."""
        return super().complete(replace(request, max_tokens=CHARACTERS_OF_A_TOKEN * request.max_tokens))


@contextmanager
def serving() -> Iterator[str]:
    """Run this module as a server, and yield its address when its model is loaded."""
    command = [sys.executable, "-m", "tests.editors.http_server"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            until(lambda: httpx.get(f"{url}/health").status_code == 200)
            yield url
        finally:
            process.terminate()


def statuses(url: str) -> set[str]:
    """Return the statuses of all answers that the server at `url` has given."""
    counts = [line for line in _get(f"{url}/metrics").text.splitlines() if line.startswith("shardline_http_requests_t")]
    return {line.partition('status="')[2].partition('"')[0] for line in counts if 'route="/health"' not in line}


def warmed(url: str) -> list[str]:
    """Return the prompts that the server at `url` was to read ahead."""
    prompts: list[str] = _get(f"{url}/test/warmed").json()
    return prompts


def _get(url: str) -> httpx.Response:
    return httpx.get(url, headers={"Authorization": f"Bearer {KEY}"})


if __name__ == "__main__":
    logs.configure("warning")
    engine = Engine()

    async def tell_warmed(_: HttpRequest) -> Response:
        return JSONResponse([request.prefix for request in engine.warmed])

    serve(
        engine,
        Settings(),
        Access(key=KEY),
        Address(),
        routes=lambda _: [Route("/test/warmed", tell_warmed)],
        on_listening=lambda url: print(url, flush=True),  # noqa: T201
    )
