"""Promises on authentication and disclosure, a test each."""

import asyncio
import os
import ssl
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from shardline.errors import SettingsError
from shardline.http import api_key
from tests.http.servers import GUARD_SECONDS, ROOT, SERVE, Server, certified, started

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOSED = ["/v1/models", "/metrics", "/test/told", "/nothing"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with started("scripted") as server:
        yield server


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Bearer the-key-of-the-test", "Basic the-key-of-the-tests", "the-key-of-the-tests"],
)
async def test_without_the_key_nothing_is_answered(server: Server, path: str, authorization: str) -> None:
    answer = await server.http.get(path, headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"


async def test_nothing_is_asked_of_the_engine_without_the_key(server: Server) -> None:
    before = await server.told()
    for path in ("/v1/completions", "/infill"):
        body = {"model": "scripted", "prompt": "say:a"}
        assert (await server.http.post(path, json=body, headers={"Authorization": "Bearer x"})).status_code == 401
    assert await server.told() == before


async def test_health_needs_no_key(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as stranger:
        assert (await stranger.get("/health")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "", "a:b:c"]
)
async def test_a_name_that_is_not_this_machine_is_refused(server: Server, host: str) -> None:
    for path in ("/health", "/v1/models"):
        assert (await server.http.get(path, headers={"Host": host})).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:5", "127.0.0.1", "127.0.0.1:5", "[::1]:5", "192.0.2.1"])
async def test_addresses_are_not_refused(server: Server, host: str) -> None:
    assert (await server.http.get("/v1/models", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1"])
async def test_pages_of_others_are_refused(server: Server, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = await server.http.request(method, "/v1/models", headers=asked)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_its_own_page_is_not_refused_and_no_other_is_told_to_be_welcome(server: Server) -> None:
    answer = await server.http.get("/v1/models", headers={"Origin": server.url})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_only_this_machine_is_listened_to(tiny_folder: Path) -> None:
    """All of 127.0.0.0/8 is this machine; whoever listens to all addresses answers there."""
    async with started("--model", str(tiny_folder), command=SERVE, loaded=False) as server:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.2", httpx.URL(server.url).port)


async def test_prompts_are_never_logged() -> None:
    async with started("scripted") as server:
        for prompt in ("marker say:marker", "marker fail", "marker break", "marker late"):
            for stream in (False, True):
                body = {"model": "scripted", "prompt": prompt, "stream": stream}
                await server.http.post("/v1/completions", json=body)
                await server.http.post("/infill?marker=1", json={**body, "n_predict": 9})
        await server.http.post("/v1/completions", json={"model": "marker", "prompt": "a", "marker": 1})
        await server.http.post("/infill", content=b"marker")
        server.process.terminate()
        assert server.process.stdout is not None
        output = (await server.process.stdout.read()).decode()
        _, errors = await server.ended()
    assert "A request failed (LookupError)" in errors  # so something was logged
    assert "marker" not in errors + output


async def test_the_key_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "key"
    old = os.umask(0)
    try:
        made = api_key.read_or_make(file)
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(made) >= 32
    assert api_key.read_or_make(file) == made
    assert api_key.read_or_make(tmp_path / "other") != made
    assert sorted(path.name for path in file.parent.iterdir()) == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
async def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    api_key.read_or_make(file)
    file.chmod(mode)
    with pytest.raises(SettingsError, match="can be read by others"):
        api_key.read_or_make(file)


@pytest.mark.parametrize("text", ["", "short", "with spaces in the middle of it", "ümlaut-is-no-header-text"])
async def test_a_key_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="at least 16"):
        api_key.check(text, "It")


async def test_beyond_this_machine_the_key_is_needed_and_tls_is_advised(tiny_folder: Path) -> None:
    arguments = ("--model", str(tiny_folder), "--host", "0.0.0.0")  # noqa: S104  that is the point
    async with started(*arguments, command=SERVE, loaded=False) as server:
        port = httpx.URL(server.url).port
        async with httpx.AsyncClient(base_url=f"http://127.0.0.2:{port}") as stranger:
            assert (await stranger.get("/v1/models")).status_code == 401
            assert (await stranger.get("/health")).status_code == 503
        server.process.terminate()
        _, errors = await server.ended()
    assert "use --ssl-certfile and --ssl-keyfile" in errors


async def test_with_a_certificate_it_speaks_tls(tiny_folder: Path, tmp_path: Path) -> None:
    certificate, private = certified(tmp_path)
    files = ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(private))
    async with started("--model", str(tiny_folder), *files, command=SERVE, loaded=False) as server:
        assert server.url.startswith("https://127.0.0.1:")
        trust: Any = ssl.create_default_context(cafile=str(certificate))
        async with httpx.AsyncClient(base_url=server.url, verify=trust, headers=server.http.headers) as client:
            assert (await client.get("/health")).status_code == 503
            assert (await client.get("/engine/state")).status_code == 404  # that is for engines of windows
        server.process.terminate()
        _, errors = await server.ended()
    assert "ssl-certfile" not in errors


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--ssl-certfile", "a"), "belong together"),
        (("--ssl-certfile", "/no/a", "--ssl-keyfile", "/no/b"), "cannot be used"),
        (("--host", "no.such.name.invalid"), "cannot be used"),
        (("--api-key-file", "/dev/null/key"), "cannot be written"),
    ],
)
async def test_what_cannot_be_used_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *SERVE,
        *arguments,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    async with asyncio.timeout(GUARD_SECONDS):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert sentence in errors.decode()
    assert errors.count(b"\n") == 1
