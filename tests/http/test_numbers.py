"""Extreme numbers in every field: used or refused by name, never a server failure."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from shardline.errors import BadValueError
from shardline.values import check
from tests.http.servers import SERVE, Server, started

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

NUMBERS = {
    "too large": "1e999",
    "too small": "-1e999",
    "largest": "1e308",
    "smallest": "5e-324",
    "negative zero": "-0.0",
    "long": "1" + "0" * 308,
    "longer": "1" + "0" * 400,
    "longest": "1" * 5000,
    "negative": "-1",
    "true": "true",
    "infinite": "Infinity",
    "no number": "NaN",
}
COMPLETIONS = ["max_tokens", "temperature", "top_p", "n", "seed", "logprobs", "best_of"]
INFILL = ["n_predict", "temperature", "top_k", "top_p", "seed", "n_probs", "t_max_predict_ms"]
FIELDS = [
    *(("/v1/completions", field) for field in [*COMPLETIONS, "presence_penalty", "frequency_penalty", "prompt", "x"]),
    *(("/infill", field) for field in [*INFILL, "x"]),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_folder: Path) -> AsyncIterator[Server]:
    async with started("--model", str(tiny_folder), command=SERVE) as server:
        yield server


@pytest.mark.parametrize(("path", "field"), FIELDS)
async def test_no_number_makes_the_server_fail(server: Server, path: str, field: str) -> None:
    model = (await server.http.get("/v1/models")).json()["data"][0]["id"]
    given = "" if path == "/infill" else f'"model": "{model}", '
    for literal in NUMBERS.values():
        for value in (literal, f"[{literal}]"):
            body = f'{{{given}"{field}": {value}, "prompt": "def", "{field}": {value}}}'
            if field not in ("n_predict", "max_tokens"):
                body = f'{{"n_predict": 2, {body[1:]}' if path == "/infill" else f'{{"max_tokens": 2, {body[1:]}'
            answer = await server.http.post(path, content=body)
            assert answer.status_code in (200, 400), (body, answer.text)
            if answer.status_code == 400:
                assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "NaN"])
async def test_a_number_that_is_none_is_refused_in_words(server: Server, number: str) -> None:
    answer = await server.http.post("/infill", content=f'{{"temperature": {number}}}')
    assert answer.status_code == 400
    assert "body of the request" in answer.json()["error"]["message"]


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
async def test_no_setting_is_infinite_or_no_number(number: float) -> None:
    with pytest.raises(BadValueError, match="finite"):
        check(number, float, {})
    with pytest.raises(BadValueError):
        check(10**400, float, {})
    assert check(10**400, int, {}) == 10**400
