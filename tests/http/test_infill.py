"""llama.cpp's /infill, asked as llama.vim and llama.vscode do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.http.servers import Server, started

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMINGS = [f"{part}_{unit}" for part in ("prompt", "predicted") for unit in ("n", "ms", "per_token_ms", "per_second")]
VIM: dict[str, Any] = {
    "input_prefix": "def add(a, b):\n",
    "input_suffix": "\nprint(add(1, 2))\n",
    "input_extra": [{"text": "import math\n", "time": [1, 2], "filename": "other.py"}],
    "prompt": "    say:return a + b",
    "n_predict": 256,
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.99,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1500,
    "response_fields": ["content", *[f"timings/{name}" for name in TIMINGS], "truncated", "tokens_cached"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with started("scripted") as server:
        yield server


async def infill(server: Server, **fields: Any) -> dict[str, Any]:
    answer = await server.http.post("/infill", json=fields)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_llama_vim_gets_the_fields_that_it_asks_for(server: Server) -> None:
    answer = await infill(server, **VIM)
    assert set(answer) == set(VIM["response_fields"])
    assert answer["content"] == "return a + b"
    assert answer["truncated"] is False
    assert answer["timings/predicted_n"] == len("return a + b")
    assert answer["tokens_cached"] == answer["timings/prompt_n"] + len("return a + b")
    asked = (await server.told())["requests"][-1]
    assert asked["prefix"] == "import math\n\n\ndef add(a, b):\n    say:return a + b"
    wanted = {"suffix": VIM["input_suffix"], "max_tokens": 256, "top_k": 40, "top_p": 0.99, "healing": True}
    assert wanted.items() <= asked.items()


async def test_llama_vscode_reads_the_whole_answer(server: Server) -> None:
    fields = {key: value for key, value in VIM.items() if key != "response_fields"}
    answer = await infill(server, **fields)
    assert answer["content"] == "return a + b"
    assert (answer["stop"], answer["stop_type"], answer["tokens_predicted"]) == (True, "eos", 12)
    assert answer["generation_settings"]["n_ctx"] == 2048
    assert set(TIMINGS) <= set(answer["timings"])


async def test_what_is_not_said_is_as_the_settings_have_it(server: Server) -> None:
    await infill(server, input_prefix="a")
    asked = (await server.told())["requests"][-1]
    assert {"max_tokens": 64, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": None}.items() <= asked.items()


async def test_numbers_below_0_mean_what_they_mean_there(server: Server) -> None:
    await infill(server, input_prefix="a", n_predict=-1, temperature=-1, top_k=-1, seed=-1)
    asked = (await server.told())["requests"][-1]
    assert {"max_tokens": 2048, "temperature": 0.0, "top_k": 0, "seed": None}.items() <= asked.items()


async def test_to_predict_nothing_is_to_read_ahead(server: Server) -> None:
    asked_before = len((await server.told())["requests"])
    extra = [{"text": "import math\n", "filename": "a.py"}]
    answer = await infill(server, input_extra=extra, n_predict=0, samplers=[], response_fields=[""])
    assert answer == {}
    told = await server.told()
    assert len(told["requests"]) == asked_before
    assert told["warmed"][-1]["prefix"] == "import math\n\n\n"


async def test_after_the_time_is_over_a_line_is_enough(server: Server) -> None:
    text = "one\ntwo" + " and more" * 20
    answer = await infill(server, prompt=f"say:{text}", n_predict=200, t_max_predict_ms=0.001)
    assert answer["content"] == "one\n"
    assert answer["stop_type"] == "limit"
    assert (await infill(server, prompt=f"say:{text}", n_predict=200))["content"] == text


@pytest.mark.parametrize("milliseconds", [0.5, 2, 5, 10, 20])
async def test_the_end_of_the_time_cuts_no_line_in_two(server: Server, milliseconds: float) -> None:
    lines = [f"line {number} of many\n" for number in range(20)]
    answer = await infill(server, prompt=f"say:{''.join(lines)}", n_predict=1000, t_max_predict_ms=milliseconds)
    ends = {"".join(lines[:count]).rstrip("\n") for count in range(1, 21)}
    assert answer["content"].rstrip("\n") in ends


CODE = "\n        if not self.items:\n            return None\n\n        return self.items.pop()"
DEDENTED = "\n\n# Example usage:\nstack = Stack()"


@pytest.mark.parametrize(
    ("indent", "said", "content"),
    [
        (4, CODE + DEDENTED, CODE),
        (9, CODE + DEDENTED, ""),
        (4, CODE + "\n  \n\tx", CODE),
        (1, CODE + "\n  \n\tx", CODE + "\n  \n\tx"),
        (4, " + 1", " + 1"),
        (4, "\n    a\n  ", "\n    a\n  "),
        (0, CODE + DEDENTED, CODE + DEDENTED),
        (-1, CODE + DEDENTED, CODE + DEDENTED),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_it_ends_with_the_line_before_one_that_is_indented_less_than_is_asked_for(
    server: Server, stream: bool, indent: int, said: str, content: str
) -> None:
    fields = {"prompt": f"say:{said}", "n_predict": 500, "n_indent": indent, "stream": stream}
    answer = await server.http.post("/infill", json=fields)
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n") if line]
    assert "".join(event["content"] for event in events) == content
    assert events[-1]["stop_type"] == ("eos" if content == said else "limit")


async def test_the_end_of_the_time_lets_no_line_through_that_is_indented_less(server: Server) -> None:
    fields = {"n_indent": 4, "t_max_predict_ms": 0.001, "n_predict": 200}
    assert (await infill(server, prompt="say:one\n    two\nthree", **fields))["content"] == "one\n    two"


@pytest.mark.parametrize("fields", [{"n_indent": 4}, {"t_max_predict_ms": 0.001}])
async def test_what_is_ended_for_the_client_is_not_called_truncated(server: Server, fields: dict[str, Any]) -> None:
    answer = await infill(server, prompt="say:one\ntwo\nthree", n_predict=200, **fields)
    assert answer["content"].startswith("one")
    assert "three" not in answer["content"]
    assert not answer["truncated"]


async def test_a_stream_is_the_whole_in_pieces(server: Server) -> None:
    fields = {"prompt": "say:one é", "stream": True}
    async with server.http.stream("POST", "/infill", json=fields) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line.removeprefix("data: ")) async for line in answer.aiter_lines() if line]
    assert "".join(event["content"] for event in events) == "one é"
    assert [event["stop"] for event in events] == [False] * 5 + [True]
    assert "timings" in events[-1]


@pytest.mark.parametrize("stream", [True, False])
async def test_tokens_are_told_of_where_they_are_asked_for(server: Server, stream: bool) -> None:
    answer = await server.http.post("/infill", json={"prompt": "say:a é", "n_probs": 100, "stream": stream})
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n") if line]
    tokens = [token for event in events for token in event.get("completion_probabilities", [])]
    assert [token["token"] for token in tokens] == ["a", " ", "é"]
    assert bytes(tokens[-1]["bytes"]).decode() == "é"
    for token in tokens:
        assert token["logprob"] == token["top_logprobs"][0]["logprob"] < 0
    plain = await infill(server, prompt="say:a é", n_probs=0)
    assert "completion_probabilities" not in plain


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input_prefix": 5}, "input_prefix"),
        ({"input_extra": ["a"]}, "input_extra"),
        ({"input_extra": [{"filename": "a"}]}, "input_extra"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"n_predict": "all"}, "n_predict"),
        ({"top_p": 2}, "top_p"),
        ({"stop": ""}, "stop"),
        ({"response_fields": "content"}, "response_fields"),
    ],
)
async def test_what_is_wrong_is_told_by_name(server: Server, fields: dict[str, Any], param: str) -> None:
    answer = await server.http.post("/infill", json=fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
