"""Bad bodies: each gets an error in the agreed format, never a server failure."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.servers import Server, started

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MODEL = "scripted"
PATHS = ["/v1/completions", "/infill"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    *["prompt", "suffix", "max_tokens", "temperature", "top_p", "n", "seed", "stop", "logprobs", "stream", "user"],
    *["stream_options", "echo", "best_of", "presence_penalty", "frequency_penalty", "logit_bias", "model"],
    *["input_prefix", "input_suffix", "input_extra", "n_predict", "top_k", "t_max_predict_ms", "response_fields"],
]
LIKELY = st.sampled_from([0, 1, -1, 2**63, 10**400, 0.5, 1e308, "", "a", "\ud800", [], ["a"], [1], [[1]], {}, True])
BODIES = st.dictionaries(st.sampled_from(FIELDS), ANYTHING | LIKELY, max_size=5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with started(MODEL) as server:
        yield server


async def check(server: Server, path: str, content: bytes) -> int:
    answer = await server.http.post(path, content=content)
    assert answer.status_code < 500, (content, answer.text)
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert error["type"] == "invalid_request_error"
    return answer.status_code


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, path=st.sampled_from(PATHS), with_model=st.booleans())
async def test_no_object_makes_it_fail(server: Server, body: dict[str, Any], path: str, with_model: bool) -> None:
    body = {**body, "model": MODEL} if with_model else body
    await check(server, path, json.dumps(body).encode())


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=ANYTHING, path=st.sampled_from(PATHS))
async def test_no_json_makes_it_fail(server: Server, value: Any, path: str) -> None:
    status = await check(server, path, json.dumps(value).encode())
    assert isinstance(value, dict) or status == 400


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=40), path=st.sampled_from(PATHS))
async def test_no_bytes_make_it_fail(server: Server, content: bytes, path: str) -> None:
    await check(server, path, content)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":NaN}', b'{"prompt":"\\ud800"}', b'{"n":1' + b"0" * 5000 + b"}"],
    ids=["nothing", "half", "bytes", "deep", "constant", "surrogate", "digits"],
)
@pytest.mark.parametrize("path", PATHS)
async def test_what_is_no_json_is_told(server: Server, path: str, content: bytes) -> None:
    assert await check(server, path, content) == 400


async def test_a_body_may_be_so_long_and_no_longer(server: Server) -> None:
    body = {"input_prefix": "é" * 4_100_000, "n_predict": 1}
    assert await check(server, "/infill", json.dumps(body, ensure_ascii=False).encode()) == 200
    assert await check(server, "/infill", json.dumps(body).encode()) == 413


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/completions", 405), ("POST", "/v1/other", 404), ("PUT", "/health", 405)]
)
async def test_what_is_not_there_is_told_in_the_same_shape(server: Server, method: str, path: str, status: int) -> None:
    answer = await server.http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
