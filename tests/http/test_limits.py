"""Limits on a client's time, connections and memory; a greedy one delays no other."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio

from shardline.http.middleware.body_limits import MAX_BYTES, MAX_LONG
from tests.http.servers import GUARD_SECONDS, SCRIPTED, Server, certified, started

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

FILES = 128
FEW_FILES = (
    "-c",
    f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES})); "
    f"runpy.run_module({SCRIPTED[1]!r}, run_name='__main__')",
)
HALF_HEADER = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
RSS_GROWTH = 80 << 20

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with started("scripted") as server:
        yield server


@asynccontextmanager
async def dial(server: Server) -> AsyncIterator[Streams]:
    """Yield a connection that is aborted in the end."""
    url = httpx.URL(server.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def post(server: Server, path: str, length: int, *, key: str | None = None) -> bytes:
    """Return the header of a request with a body of this length."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key or server.key}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


async def status_of(reader: asyncio.StreamReader) -> int:
    """Return the status of an answer that begins now; 0 where the connection is closed instead."""
    try:
        line = await reader.readline()
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


async def closed(reader: asyncio.StreamReader) -> None:
    """Wait until the server has closed the connection."""
    with suppress(ConnectionError):
        await reader.read()


async def test_half_sent_headers_take_no_place_from_those_who_ask() -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(GUARD_SECONDS))
        server = await stack.enter_async_context(started("scripted", command=FEW_FILES))
        body = {"model": "scripted", "prompt": "steps", "stream": True, "max_tokens": 9}
        await server.http.get("/test/step")
        stream = await stack.enter_async_context(server.http.stream("POST", "/v1/completions", json=body))
        lines = stream.aiter_lines()
        assert (await anext(lines)).startswith("data:")
        silent = []
        for _ in range(2 * FILES):
            silent.append(await stack.enter_async_context(dial(server)))
            silent[-1][1].write(HALF_HEADER)
        async with httpx.AsyncClient(base_url=server.url) as newcomer:
            assert (await newcomer.get("/health")).status_code == 200
        assert await status_of(silent[0][0]) == 0  # who waited longest has left
        await server.http.get("/test/step")
        assert [await anext(lines) for _ in range(2)][1].startswith("data:")  # and who is answered stays


async def half_header(server: Server) -> None:
    async with dial(server) as (reader, writer):
        writer.write(HALF_HEADER)
        assert await status_of(reader) == 0


async def next_header(server: Server) -> None:
    async with dial(server) as (reader, writer):
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert await status_of(reader) == 200
        writer.write(HALF_HEADER)
        await closed(reader)


async def half_body(server: Server) -> None:
    async with dial(server) as (reader, writer):
        writer.write(post(server, "/infill", 10) + b'{"pro')
        assert await status_of(reader) == 408


async def refused_body(server: Server) -> None:
    """Return a body that goes on behind its refusal, byte by byte."""
    async with dial(server) as (reader, writer):
        writer.write(post(server, "/infill", MAX_BYTES, key="wrong") + b'{"pro')
        assert await status_of(reader) == 401
        closing = asyncio.create_task(closed(reader))
        while not closing.done():
            writer.write(b"x")
            await asyncio.wait([closing], timeout=0.05)


async def unread_answer(server: Server) -> None:
    """Return a stream that nobody reads, until both sides' buffers are full."""
    async with dial(server) as (_, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        asked = {"model": "scripted", "prompt": "say:" + "x" * 100_000, "max_tokens": 100_000, "stream": True}
        body = json.dumps(asked).encode()
        writer.write(post(server, "/v1/completions", len(body)) + body)
        port, process = writer.get_extra_info("sockname")[1], psutil.Process(server.process.pid)
        while any(one.raddr and one.raddr.port == port for one in process.net_connections()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def half_handshake(_: Server) -> None:
    with TemporaryDirectory() as folder:
        arguments = ("scripted", "1000", *map(str, certified(Path(folder))))
        async with started(*arguments, loaded=False) as server, dial(server) as (reader, _writer):
            assert await status_of(reader) == 0


async def test_nobody_keeps_a_connection_by_being_slow(server: Server) -> None:
    """All at once, as each takes as long as it may."""
    async with asyncio.timeout(GUARD_SECONDS), asyncio.TaskGroup() as group:
        for take_long in (half_header, next_header, half_body, refused_body, unread_answer, half_handshake):
            group.create_task(take_long(server), name=take_long.__name__)


@pytest.mark.parametrize(
    ("path", "key", "length", "status"),
    [
        ("/health", "wrong", 10, 405),
        ("/", "wrong", 10, 405),
        ("/infill", "wrong", 10, 401),
        ("/nothing", None, 10, 404),
        ("/infill", None, MAX_BYTES + 1, 413),
    ],
)
async def test_a_body_that_nobody_wants_is_not_waited_for(
    server: Server, path: str, key: str | None, length: int, status: int
) -> None:
    async with asyncio.timeout(GUARD_SECONDS), dial(server) as (reader, writer):
        writer.write(post(server, path, length, key=key) + b"x")
        assert await status_of(reader) == status


async def test_half_sent_bodies_take_little_memory_and_keep_nobody_waiting() -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(GUARD_SECONDS))
        server = await stack.enter_async_context(started("scripted"))
        memory = psutil.Process(server.process.pid)
        quiet = memory.memory_info().rss

        async def send(writer: asyncio.StreamWriter) -> None:
            writer.transport.set_write_buffer_limits(0)
            writer.write(post(server, "/infill", MAX_BYTES) + b" " * (MAX_BYTES - 1))
            await writer.drain()

        writers = [(await stack.enter_async_context(dial(server)))[1] for _ in range(40)]
        sending = {asyncio.create_task(send(writer)) for writer in writers}
        while len(sending) > 40 - MAX_LONG:
            _, sending = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        assert (await server.http.post("/infill", json={"prompt": "say:a"})).json()["content"] == "a"
        assert memory.memory_info().rss - quiet < RSS_GROWTH
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


async def test_a_long_body_gets_its_place_from_those_that_do_not_come() -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(GUARD_SECONDS))
        server = await stack.enter_async_context(started("scripted"))
        silent = [await stack.enter_async_context(dial(server)) for _ in range(MAX_LONG)]
        for _, writer in silent:
            writer.write(post(server, "/infill", MAX_BYTES) + b" ")
        body = {"input_prefix": "a" * (MAX_BYTES // 2), "prompt": "say:a"}
        assert (await server.http.post("/infill", json=body)).json()["content"] == "a"
        assert 408 in [await status_of(reader) for reader, _ in silent]


async def test_a_body_in_chunks_is_read_as_any_other(server: Server) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in json.dumps({"prompt": "say:abc"}).encode():
            yield bytes([byte])

    assert (await server.http.post("/infill", content=pieces())).json()["content"] == "abc"


async def test_a_long_body_is_parsed_by_another_process_which_may_be_lost() -> None:
    async with asyncio.timeout(GUARD_SECONDS), started("scripted") as server:
        body = {"input_prefix": "a" * 200_000, "prompt": "say:a"}
        assert (await server.http.post("/infill", json=body)).json()["content"] == "a"
        [parser] = psutil.Process(server.process.pid).children()
        parser.kill()
        while (again := await server.http.post("/infill", json=body)).status_code == 503:
            assert again.headers["Retry-After"]
        assert again.json()["content"] == "a"
        [parser] = psutil.Process(server.process.pid).children()
        server.process.kill()
        await asyncio.to_thread(parser.wait, GUARD_SECONDS)


def nested(count: int) -> bytes:
    return json.dumps({"prompt": "say:a", "x": [[]] * count}).encode()


def names(count: int) -> bytes:
    return json.dumps({"prompt": "say:a", "x": dict.fromkeys(map(str, range(count)), 1)}).encode()


def numbers(count: int) -> bytes:
    return json.dumps({"prompt": "say:a", "x": [1] * count}).encode()


def quoted(count: int) -> bytes:
    return json.dumps({"prompt": '[{:,"\\,"' * count + "say:a"}).encode()


@pytest.mark.parametrize(
    ("make", "count", "status"),
    [
        (nested, 60_000, 200),
        (nested, 70_000, 400),
        (names, 60_000, 200),
        (names, 70_000, 400),
        (numbers, 500_000, 200),
        (numbers, 600_000, 400),
        (quoted, 200_000, 200),
    ],
)
async def test_a_body_has_only_so_many_values_but_any_text(
    server: Server, make: Callable[[int], bytes], count: int, status: int
) -> None:
    answer = await server.http.post("/infill", content=make(count))
    assert answer.status_code == status
    assert status == 200 or "values" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "a" * 1_000_000, "n": 128, "echo": True}, "echo"),
        ({"prompt": ["a" * 10_000] * 11, "n": 10, "echo": True}, "echo"),
        ({"prompt": "a", "n": 128, "max_tokens": 1000, "logprobs": 5}, "logprobs"),
        ({"prompt": [1] * 100_000}, "prompt"),
        ({"prompt": [[1], [1] * 100_000]}, "prompt"),
    ],
)
async def test_no_answer_is_far_longer_than_what_was_asked(server: Server, fields: dict[str, Any], param: str) -> None:
    answer = await server.http.post("/v1/completions", json={"model": "scripted", **fields})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_an_echo_is_the_whole_prompt_even_where_the_model_sees_only_its_end(server: Server) -> None:
    prompt = "a" * 600_000 + "say:b"
    asked = {"model": "scripted", "prompt": prompt, "echo": True}
    done = (await server.http.post("/v1/completions", json=asked)).json()
    assert done["choices"][0]["text"] == prompt + "b"
    assert len((await server.told())["requests"][-1]["prefix"]) < len(prompt)
