"""Untrusted answers of remote servers, and secrecy of what they are sent."""

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.engine import Request
from shardline.engine.remote import answer_stream as answers
from shardline.engine.remote.address import is_loopback, root_of
from shardline.engine.remote.dialect import Dialect
from shardline.engine.remote.engine import RemoteEngine
from shardline.engine.remote.http_client import MAX_BYTES, Connection
from shardline.engine.remote.llama_cpp import LlamaCpp
from shardline.engine.remote.ollama import Ollama
from shardline.engine.remote.openai import OpenAI
from shardline.engine.remote.prompts import Text
from shardline.engine.remote.vllm import SGLang, Vllm
from shardline.errors import AwayError, EngineError, GenerationError, RemoteRefusedError, SettingsError
from shardline.settings import RemoteSettings
from tests.remote.remotes import GUARD_SECONDS, opened, said, serving, settings_for

pytestmark = pytest.mark.slow

REQUEST = Request(document="d", prefix="secret_name = ", max_tokens=8)
TEXT = Text(256)
DIALECTS: list[Dialect] = [
    OpenAI("m", TEXT, infills=True),
    Vllm("m", TEXT),
    SGLang("m", TEXT),
    LlamaCpp(TEXT, infills=False),
    Ollama("m", TEXT, infills=False),
]
WORDS = (
    "choices text content stop response done logprobs token_logprobs usage finish_reason logprob data id owned_by meta"
)
KEYS = st.sampled_from([*WORDS.split(), "completion_probabilities", "n_ctx", "max_model_len", "error"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def raw(*pieces: bytes, repeated: bytes = b"") -> AsyncIterator[tuple[str, list[int]]]:
    """Yield a server that answers with these bytes, and with those that are `repeated` without an end.

    Hands out its address and how many it has sent.
    """
    sent: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in itertools.chain(pieces, itertools.repeat(repeated) if repeated else ()):
                writer.write(piece)
                sent.append(len(piece))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", sent


async def completed(dialect: Dialect, url: str) -> str:
    connection = Connection(RemoteSettings(base_url=url, timeout=20))
    try:
        async with (
            asyncio.timeout(GUARD_SECONDS),
            aclosing(answers.answer(connection, dialect, dialect.question(REQUEST), REQUEST)) as chunks,
        ):
            return "".join([chunk.text async for chunk in chunks])
    finally:
        await connection.close()


@given(st.sampled_from(DIALECTS), st.lists(st.dictionaries(KEYS, VALUES, max_size=6), max_size=4))
async def test_whatever_json_comes_is_a_text_or_an_error_in_words(dialect: Dialect, messages: list[Any]) -> None:
    lines = [b"data: " + json.dumps(message).encode() + b"\n" for message in messages]
    async with raw(HEAD, *lines) as (url, _):
        with suppress(EngineError):
            text = await completed(dialect, url)
            assert text.encode() == text.encode("utf-8", "replace")


@given(st.sampled_from(DIALECTS), st.binary(max_size=200), st.booleans())
async def test_whatever_bytes_come_are_an_error_in_words(dialect: Dialect, noise: bytes, headed: bool) -> None:
    async with raw(HEAD if headed else b"", noise) as (url, _):
        with pytest.raises(EngineError):
            await completed(dialect, url)


@given(VALUES)
async def test_whatever_it_says_of_itself_is_no_more_than_an_error(value: Any) -> None:
    async with raw(HEAD + json.dumps(value).encode()) as (url, _):
        engine = RemoteEngine(settings_for(url))
        with suppress(EngineError):
            await engine.load(lambda _: None)
        await engine.wait_closed()


@pytest.mark.parametrize("piece", [b"x" * 65536, b'data: {"choices": []}\n' * 3000])
async def test_an_answer_without_an_end_is_cut_off(piece: bytes) -> None:
    async with raw(HEAD, repeated=piece) as (url, sent):
        with pytest.raises(GenerationError):
            await completed(DIALECTS[0], url)
    assert sum(sent) < 4 * MAX_BYTES


async def test_a_key_is_sent_where_it_belongs_and_is_in_no_log(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OUR_KEY", "open-sesame")
    monkeypatch.setenv("OTHER_KEY", "barley")
    async with serving("openai", tmp_path, tiny_folder, key="open-sesame") as peer:
        async with opened(peer.url, api_key_env="OUR_KEY") as engine:
            assert await said(engine, "say:yes") == "yes"
        with pytest.raises(RemoteRefusedError, match=r"name its environment variable in remote\.apiKeyEnv"):
            async with opened(peer.url):
                pass
        with pytest.raises(RemoteRefusedError, match=r"does not accept the key in remote\.apiKeyEnv"):
            async with opened(peer.url, api_key_env="OTHER_KEY"):
                pass
    assert peer.asked[0]["key"] == "Bearer open-sesame"
    assert "sesame" not in caplog.text
    assert "barley" not in caplog.text


@pytest.mark.parametrize(
    ("remote", "sentence"),
    [
        (
            {"base_url": "http://models.example", "api_key_env": "OUR_KEY"},
            "would send the key",
        ),
        (
            {"base_url": "http://10.0.0.1:8000/v1", "api_key_env": "OUR_KEY"},
            "would send the key",
        ),
        ({"base_url": "https://models.example", "api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY holds no key"),
        ({"base_url": "https://me:word@models.example"}, "must be an address alone"),
        ({"base_url": "https://models.example/?key=x"}, "must be an address alone"),
        ({"base_url": "models.example"}, "must look like"),
        ({"base_url": "file:///etc/passwd"}, "must look like"),
    ],
)
def test_where_a_key_or_a_password_would_get_out_nothing_is_asked(
    remote: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_KEY", "open-sesame")
    with pytest.raises(SettingsError, match=sentence) as caught:
        Connection(RemoteSettings(**remote))  # type: ignore[arg-type]
    assert "sesame" not in str(caught.value)
    assert "word" not in str(caught.value).replace("password", "")


@given(st.text(max_size=30) | st.sampled_from(["http://[::1", "http://a:99999", "http://:80"]))
def test_no_address_is_more_than_an_error(text: str) -> None:
    for address in (text, f"http://{text}", f"https://h/{text}"):
        try:
            is_loopback(root_of(address))
        except SettingsError:
            continue


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("https://api.example/v1", "https://api.example"),
        ("https://api.example/team/v1/", "https://api.example/team"),
    ],
)
def test_an_address_is_taken_with_v1_or_without(address: str, root: str) -> None:
    assert root_of(address) == root


async def test_a_redirect_is_not_followed(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with (
        serving("openai", tmp_path / "other", tiny_folder) as other,
        serving("openai", tmp_path, tiny_folder, location=f"{other.url}/v1/completions") as peer,
        opened(peer.url) as engine,
    ):
        with pytest.raises(RemoteRefusedError, match=r"redirects, which is not followed; set remote\.baseUrl"):
            await said(engine, "say:yes")
    assert other.asked == []


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (429, RemoteRefusedError, "is overloaded"),
        (503, AwayError, "cannot answer now"),
        (500, RemoteRefusedError, "refuses"),
    ],
)
async def test_what_it_refuses_is_a_sentence_without_its_words_and_it_is_asked_once(
    status: int, error: type[EngineError], sentence: str, tiny_folder: Path, tmp_path: Path
) -> None:
    told = {"status": status, "raw": '{"error": {"message": "secret_name = is too long"}}'}
    async with serving("openai", tmp_path, tiny_folder, **told) as peer, opened(peer.url) as engine:
        with pytest.raises(error, match=sentence) as caught:
            await said(engine, REQUEST.prefix)
    assert "secret_name" not in str(caught.value)
    assert len(peer.bodies()) == 1
