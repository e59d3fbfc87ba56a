"""Life of the server process: loading, use, idle timeout and termination."""

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from shardline.engine import Request
from shardline.engine.local.engine import LocalEngine
from shardline.http.middleware.idle import Presence
from shardline.settings import ModelSettings
from tests.http.scripted_server import KEY
from tests.http.servers import GUARD_SECONDS, ROOT, SERVE, started

pytestmark = pytest.mark.slow


async def test_while_the_model_loads_it_tells_how_far_it_is_and_nothing_waits() -> None:
    async with started("held", loaded=False) as server:
        answer = await server.http.get("/health")
        assert answer.status_code == 503
        progress = {"activity": "Downloading held", "done": 12, "total": 96, "unit": "bytes"}
        assert answer.json() == {"status": "loading model", "progress": progress}
        for path, body in (("/v1/completions", {"model": "held", "prompt": "a"}), ("/infill", {"prompt": "a"})):
            early = await server.http.post(path, json=body)
            assert early.status_code == 503
            assert early.json()["error"]["code"] == "loading_model"
            assert "retry-after" in early.headers
        await server.http.get("/test/release")
        async with asyncio.timeout(GUARD_SECONDS):
            while (await server.http.get("/health")).json() != {"status": "ok"}:
                pass
        assert (await server.http.post("/infill", json={"prompt": "say:a"})).json()["content"] == "a"


async def test_a_model_that_cannot_be_loaded_ends_it_with_the_reason(tmp_path: Path) -> None:
    async with started("--model", str(tmp_path), command=SERVE, loaded=False) as server:
        code, errors = await server.ended()
    assert code == 1
    assert "model.name" in errors
    assert "Traceback" not in errors


async def test_it_ends_when_nobody_has_used_it_for_so_long() -> None:
    async with started("scripted", "0", loaded=False) as server:
        code, _ = await server.ended()
    assert code == 0


async def test_looking_at_it_is_not_using_it() -> None:
    async with started("scripted", "0.2", loaded=False) as server:
        with contextlib.suppress(httpx.TransportError):
            async with asyncio.timeout(GUARD_SECONDS):
                while True:
                    await server.http.get("/health")
        code, _ = await server.ended()
    assert code == 0


async def test_it_stays_as_long_as_anybody_uses_it() -> None:
    absent = asyncio.Event()
    presence = Presence(0, absent.set)
    with presence.visit():
        with presence.visit():
            pass
        for _ in range(10):
            await asyncio.sleep(0)
        assert not absent.is_set()
    with presence.visit():
        for _ in range(10):
            await asyncio.sleep(0)
        assert not absent.is_set()
    async with asyncio.timeout(GUARD_SECONDS):
        await absent.wait()


async def test_the_real_engine_says_over_http_what_it_says_itself(tiny_folder: Path) -> None:
    engine = LocalEngine(ModelSettings(name=str(tiny_folder)))
    await engine.load(lambda _: None)
    request = Request(document="d", prefix="def add(a", healing=False, max_tokens=12)
    said = "".join([chunk.text async for chunk in engine.complete(request)])
    engine.close()
    async with started("--model", str(tiny_folder), command=SERVE) as server, server.openai() as client:
        ask = {"model": str(tiny_folder), "prompt": "def add(a", "max_tokens": 12, "temperature": 0}
        done = await client.completions.create(**ask)  # type: ignore[call-overload]
        assert done.choices[0].text == said
        again = await client.completions.create(**ask)  # type: ignore[call-overload]
        assert again.choices[0].text == said
        assert again.usage.prompt_tokens_details.cached_tokens > 0
        server.process.terminate()
        await server.ended()


async def test_the_key_is_where_it_says(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    arguments = ("--model", str(tiny_folder), "--api-key-file", str(file))
    async with started(*arguments, command=SERVE, loaded=False) as server:
        headers = {"Authorization": f"Bearer {file.read_text().strip()}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
            assert (await client.get("/v1/models")).status_code == 200
        assert (await server.http.get("/v1/models")).status_code == 401  # that of the environment
        server.process.terminate()
        _, errors = await server.ended()
    assert str(file) in errors


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
async def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(AssertionError, match="--port"):
        async with started("--port", port, command=SERVE, loaded=False):
            pass


def test_a_terminal_gets_a_link_with_the_key_and_nothing_else_does(tiny_folder: Path) -> None:
    command = [sys.executable, *SERVE, "--model", str(tiny_folder), "--idle", "0"]
    environment = {**os.environ, "SHARDLINE_API_KEY": KEY}
    terminal, end = pty.openpty()
    with subprocess.Popen(command, stdout=end, stderr=subprocess.DEVNULL, env=environment, cwd=ROOT):
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal ends whose program has ended
            while piece := os.read(terminal, 4096):
                shown += piece
    os.close(terminal)
    listening, link = shown.decode().splitlines()
    assert link == f"To look at it: {listening.split()[-1]}/#token={KEY}"
    piped = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=True)
    assert piped.stdout.startswith("Listening on")
    assert KEY not in piped.stdout + piped.stderr
