"""Clients that disconnect, too many clients, and metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from shardline.http.admission import MAX_RUNNING, MAX_WAITING
from tests.http.servers import GUARD_SECONDS, Server, started

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with started("scripted") as server:
        yield server


@asynccontextmanager
async def connected(
    server: Server, path: str, body: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a connection of its own, on which this was asked; it is closed at the end of the block."""
    url = httpx.URL(server.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST {path} HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {server.key}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def answered(reader: asyncio.StreamReader) -> int:
    """Return the status of the next answer, whose body is read as well."""
    async with asyncio.timeout(GUARD_SECONDS):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.splitlines() if line.startswith("content-length:"))
        await reader.readexactly(int(length.split()[1]))
    return int(head.split()[1])


def counted(metrics: str, name: str) -> float:
    return next(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(f"{name} "))


async def until_waiting(server: Server, number: int) -> None:
    async with asyncio.timeout(GUARD_SECONDS):
        while counted((await server.http.get("/metrics")).text, "shardline_requests_waiting") != number:
            pass


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", b'{"model":"scripted","prompt":"steps","max_tokens":900}'),
        ("/v1/completions", b'{"model":"scripted","prompt":"steps","max_tokens":900,"stream":true}'),
        ("/v1/completions", b'{"model":"scripted","prompt":["steps","hang"],"max_tokens":900}'),
        ("/infill", b'{"prompt":"steps"}'),
        ("/infill", b'{"prompt":"steps","stream":true}'),
    ],
)
async def test_nothing_more_is_made_for_a_client_that_left(server: Server, path: str, body: bytes) -> None:
    async with connected(server, path, body):
        for _ in range(3):
            await server.http.get("/test/step")
        told = await server.until(lambda told: told["steps"] == 3)
        assert told["cancelled"] == 0
    told = await server.until(lambda told: told["cancelled"] == len(told["requests"]))
    assert told["steps"] == 3  # the fourth was waited for, and never made
    metrics = (await server.http.get("/metrics")).text
    assert counted(metrics, "shardline_requests_running") == 0
    assert counted(metrics, "shardline_generated_tokens_total") == 3


async def test_after_an_error_the_connection_goes_on(server: Server) -> None:
    async with connected(server, "/infill", b'{"prompt":"break"}') as (reader, writer):
        assert await answered(reader) == 500
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await answered(reader) == 200


async def test_who_leaves_while_waiting_is_never_begun_with(server: Server) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(MAX_RUNNING):
            await stack.enter_async_context(connected(server, "/infill", b'{"prompt":"hang"}'))
        await server.until(lambda told: len(told["requests"]) == MAX_RUNNING)
        async with connected(server, "/infill", b'{"prompt":"late comer"}'):
            await until_waiting(server, 1)
    await server.until(lambda told: told["cancelled"] == MAX_RUNNING)
    assert len((await server.told())["requests"]) == MAX_RUNNING


async def test_too_many_are_asked_to_come_again_and_then_answered(server: Server) -> None:
    ask = {"model": "scripted", "prompt": "say:yes"}
    async with AsyncExitStack() as stack:
        for _ in range(MAX_RUNNING + MAX_WAITING):
            await stack.enter_async_context(connected(server, "/infill", b'{"prompt":"hang"}'))
        await until_waiting(server, MAX_WAITING)
        for fields in (ask, {**ask, "stream": True}):
            answer = await server.http.post("/v1/completions", json=fields)
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert (await server.http.get("/health")).status_code == 200
        assert len((await server.told())["requests"]) == MAX_RUNNING
    async with server.openai(max_retries=5) as client:  # which does what Retry-After says
        done = await client.completions.create(model="scripted", prompt="say:yes")
    assert done.choices[0].text == "yes"


async def test_what_was_done_is_counted(server: Server) -> None:
    ask = {"model": "scripted", "prompt": "say:four"}
    for _ in range(2):
        await server.http.post("/v1/completions", json=ask)
    await server.http.post("/v1/completions", json={**ask, "n": 0})
    await server.http.post("/infill", json={"prompt": "break"})
    await server.http.get("/nothing/like/that")
    answer = await server.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert 'shardline_http_requests_total{route="/v1/completions",status="200"} 2.0' in lines
    assert 'shardline_http_requests_total{route="/v1/completions",status="400"} 1.0' in lines
    assert 'shardline_http_requests_total{route="/infill",status="500"} 1.0' in lines
    assert 'shardline_http_requests_total{route="",status="404"} 1.0' in lines
    assert counted(answer.text, "shardline_prompt_tokens_total") == 2 * 8
    assert counted(answer.text, "shardline_generated_tokens_total") == 2 * 4
    assert counted(answer.text, "shardline_time_to_first_token_seconds_count") == 2
