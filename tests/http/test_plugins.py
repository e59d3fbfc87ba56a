"""Requests of editor plugins for llama.cpp's, OpenAI's and Mistral's APIs."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.http.servers import Server, started

STOPS = ["<PRE>", "<SUF>", "<MID>", "<EOT>", "</s>", "\n\n", "\r\n\r\n", "/src/", "#- coding: utf-8", "```"]
"""Those of Continue's template for CodeLlama."""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with started("scripted") as server:
        yield server


async def asked(server: Server) -> dict[str, Any]:
    last: dict[str, Any] = (await server.told())["requests"][-1]
    return last


async def test_what_continue_sends_is_completed(server: Server) -> None:
    fields = {"model": "", "prompt": "say:a", "max_tokens": 9, "stop": STOPS, "top_k": 40, "min_p": 0.05}
    answer = await server.http.post("/v1/completions", json={**fields, "temperature": 0.01, "suffix": ""})
    assert answer.json()["choices"][0]["text"] == "a"
    assert {"top_k": 40, "min_p": 0.05, "max_tokens": 9}.items() <= (await asked(server)).items()
    assert (await asked(server))["stop"] == STOPS


async def test_a_prompt_for_llama_cpp_is_completed_as_it_is(server: Server) -> None:
    fields = {"prompt": "<PRE> say:b", "n_predict": 20, "min_p": 0.1, "input_suffix": "not a field here"}
    answer = await server.http.post("/completion", json=fields)
    assert (answer.json()["content"], answer.json()["stop"]) == ("b", True)
    wanted = {"prefix": "<PRE> say:b", "suffix": "", "infilling": "off", "healing": False, "min_p": 0.1}
    assert wanted.items() <= (await asked(server)).items()


async def test_mistrals_clients_get_messages(server: Server) -> None:
    fields = {"model": "codestral-latest", "prompt": "say:c d", "suffix": "\nend", "max_tokens": 5, "stop": "x"}
    answer = (await server.http.post("/v1/fim/completions", json={**fields, "random_seed": 3})).json()
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "c d"}, "finish_reason": "stop"}
    ]
    assert answer["usage"]["completion_tokens"] == 3
    assert {"suffix": "\nend", "max_tokens": 5, "seed": 3, "healing": True}.items() <= (await asked(server)).items()


async def test_mistrals_clients_get_a_stream_of_deltas(server: Server) -> None:
    fields = {"prompt": "say:c d", "suffix": "", "stream": True}
    async with server.http.stream("POST", "/v1/fim/completions", json=fields) as answer:
        *events, done = [line.removeprefix("data: ") async for line in answer.aiter_lines() if line]
    choices = [json.loads(event)["choices"][0] for event in events]
    assert "".join(choice["delta"]["content"] for choice in choices) == "c d"
    assert (choices[0]["finish_reason"], choices[-1]["finish_reason"], done) == (None, "stop", "[DONE]")


async def test_what_the_server_has_is_told_as_llama_cpp_tells_it(server: Server) -> None:
    told = (await server.http.get("/props")).json()
    slots = (await server.http.get("/slots")).json()
    assert told["default_generation_settings"]["n_ctx"] == 2048
    assert len(slots) == told["total_slots"]
    assert not any(slot["is_processing"] for slot in slots)


@pytest.mark.parametrize("path", ["/health", "/v1/health"])
async def test_health_needs_no_key_and_all_else_does(server: Server, path: str) -> None:
    anybody = {"Authorization": ""}
    assert (await server.http.get(path, headers=anybody)).status_code == 200
    for other in ("/props", "/slots"):
        assert (await server.http.get(other, headers=anybody)).status_code == 401
    for other in ("/completion", "/v1/fim/completions"):
        assert (await server.http.post(other, headers=anybody, json={})).status_code == 401
