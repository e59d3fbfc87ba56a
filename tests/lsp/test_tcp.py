"""Over TCP: only who knows the token is served, and neither web pages nor other programs disturb that."""

import asyncio
import os
from typing import Any

import pytest

from shardline.errors import SettingsError
from shardline.lsp.base_protocol.door import MAX_PENDING, VARIABLE, read_or_make_token
from tests.lsp.tcp import GUARD_SECONDS, TOKEN, initialize, listening, message
from tests.lsp.wire import framed

pytestmark = pytest.mark.slow

CONVERSATION = initialize({"token": TOKEN}) + message("shutdown", id=2)
HEADERS, _, BODY = initialize({"token": TOKEN}).partition(b"\r\n\r\n")

WEB = {
    "a body that is a conversation": b"POST / HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
    % (len(CONVERSATION), CONVERSATION),
    "an address that ends like a length": b"POST / HTTP/1.1\r\nReferer: http://x/%s\r\n\r\n%s"
    % (HEADERS.lower().replace(b" ", b""), BODY),
    "a header that ends like a length": b"POST / HTTP/1.1\r\nX: %s\r\n\r\n%s" % (HEADERS, BODY),
    "a true length of the body": b"POST / HTTP/1.1\r\n%s\r\n\r\n%s" % (HEADERS, BODY),
    "an address with a conversation in it": b"GET /%%0d%%0a%s HTTP/1.1\r\n\r\n" % CONVERSATION,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + CONVERSATION,
    "TLS": b"\x16\x03\x01\x02\x00\x01\r\n" + CONVERSATION,
}
"""What a browser can be made to send, by a page that even knows the token."""


async def test_what_a_web_page_can_send_is_not_handled_and_ends_nothing() -> None:
    async with listening(**{VARIABLE: TOKEN}) as server:
        answers = {name: await server.says(data) for name, data in WEB.items()}
        assert answers == dict.fromkeys(WEB, b"")
        await server.serves(TOKEN)


@pytest.mark.parametrize(
    "options",
    [
        None,
        {},
        {"token": "wrong"},
        {"token": None},
        {"token": [TOKEN]},
        {"token": "\ud800"},
        {"shardline": {"token": TOKEN}},
    ],
)
async def test_without_the_token_a_client_is_told_what_to_do_and_the_next_is_served(options: Any) -> None:
    async with listening(**{VARIABLE: TOKEN}) as server:
        answer = await server.says(initialize(options))
        assert b"initializationOptions" in answer
        assert b"SHARDLINE_TOKEN" in answer
        assert TOKEN.encode() not in answer
        await server.serves(TOKEN)


@pytest.mark.parametrize(
    "data",
    [
        message("shutdown", id=1),
        message("initialized", params={}) + CONVERSATION,
        framed(b"[]"),
        framed(b"{"),
        b"Content-Length: 99999999\r\n\r\n",
        b"",
    ],
)
async def test_nothing_is_handled_before_initialize(data: bytes) -> None:
    async with listening(**{VARIABLE: TOKEN}) as server:
        if data:
            assert await server.says(data) == b""
        else:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.close()
        await server.serves(TOKEN)


async def test_many_that_say_nothing_do_not_keep_the_client_away() -> None:
    async with listening(**{VARIABLE: TOKEN}) as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3 * MAX_PENDING)]
        for _, writer in silent:
            writer.write(b"Content-Le")
        await server.serves(TOKEN)
        for _, writer in silent:
            writer.close()


async def test_the_token_is_printed_once_and_neither_logged_nor_taken_for_a_setting() -> None:
    async with listening("--set", "log.level=debug") as server:
        token = server.first_line.split()[-1]
        await server.serves(token)
        log = await server.log()
        assert "initialize" in log  # debug messages are there
        assert token not in log
        assert "setting token" not in log


async def test_a_token_of_the_environment_is_not_printed() -> None:
    async with listening(**{VARIABLE: TOKEN}) as server:
        assert server.first_line.endswith("; token in SHARDLINE_TOKEN\n")
        await server.serves(TOKEN)
        assert TOKEN not in await server.log()


async def test_who_comes_after_the_client_is_not_let_in() -> None:
    async with listening(**{VARIABLE: TOKEN}) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(initialize({"token": TOKEN}))
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(OSError, match="onnect"):
            await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()
        async with asyncio.timeout(GUARD_SECONDS):
            assert await server.process.wait() == 1


def test_no_process_started_later_has_the_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert read_or_make_token()[0] == TOKEN
    assert VARIABLE not in os.environ


def test_tokens_are_long_and_each_time_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert len({read_or_make_token()[0] for _ in range(9)}) == 9
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(SettingsError, match=VARIABLE):
        read_or_make_token()
