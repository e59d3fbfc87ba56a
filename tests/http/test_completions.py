"""OpenAI's completions, asked by OpenAI's own client."""

import math
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from tests.http.servers import Server, started

MODEL = "scripted"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with started(MODEL) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with server.openai() as client:
        yield client


async def test_fields_reach_the_engine_and_the_text_comes_back(client: openai.AsyncOpenAI, server: Server) -> None:
    done = await client.completions.create(
        model=MODEL,
        prompt="a say:b = 1; c",
        suffix="end",
        max_tokens=20,
        temperature=0.5,
        top_p=0.25,
        seed=7,
        stop=[";"],
        user="u",
    )
    assert done.object == "text_completion"
    assert done.model == MODEL
    assert [(choice.index, choice.text, choice.finish_reason) for choice in done.choices] == [(0, "b = 1", "stop")]
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens == 14 + 5
    asked = (await server.told())["requests"][-1]
    wanted = {"prefix": "a say:b = 1; c", "suffix": "end", "max_tokens": 20, "temperature": 0.5, "top_p": 0.25}
    assert wanted.items() <= asked.items()
    assert {"seed": 7, "stop": [";"], "logprobs": None}.items() <= asked.items()


@pytest.mark.parametrize(
    ("fields", "healing"), [({}, False), ({"suffix": "\n"}, True), ({"suffix": "\n", "logprobs": 1}, False)]
)
async def test_a_half_typed_word_is_written_again_where_a_suffix_tells_that_there_is_a_cursor(
    client: openai.AsyncOpenAI, server: Server, fields: dict[str, Any], healing: bool
) -> None:
    await client.completions.create(model=MODEL, prompt="say:x", **fields)
    assert (await server.told())["requests"][-1]["healing"] is healing


async def test_what_is_not_said_is_as_the_api_has_it(client: openai.AsyncOpenAI, server: Server) -> None:
    done = await client.completions.create(model=MODEL, prompt="say:" + "long " * 10)
    assert done.choices[0].finish_reason == "length"
    assert len(done.choices[0].text) == 16
    asked = (await server.told())["requests"][-1]
    assert {"max_tokens": 16, "temperature": 1.0, "top_p": 1.0, "seed": None}.items() <= asked.items()


async def test_a_stream_is_the_whole_in_pieces_and_its_usage_comes_last(client: openai.AsyncOpenAI) -> None:
    whole = await client.completions.create(model=MODEL, prompt="say:é and 🎉")
    stream = await client.completions.create(
        model=MODEL, prompt="say:é and 🎉", stream=True, stream_options={"include_usage": True}
    )
    pieces = [piece async for piece in stream]
    assert len(pieces) > 5
    assert len({piece.id for piece in pieces}) == 1
    *texts, last = pieces
    assert "".join(piece.choices[0].text for piece in texts) == whole.choices[0].text == "é and 🎉"
    assert [piece.choices[0].finish_reason for piece in texts[-2:]] == [None, "stop"]
    assert all(piece.usage is None for piece in texts)
    assert last.choices == []
    assert last.usage == whole.usage


@pytest.mark.parametrize("stream", [False, True])
async def test_each_prompt_has_n_choices_in_its_order(client: openai.AsyncOpenAI, stream: bool) -> None:
    texts = dict.fromkeys(range(6), "")
    asked: dict[str, Any] = {"model": MODEL, "prompt": ["say:one", "say:two", "say:3"], "n": 2}
    if stream:
        async for piece in await client.completions.create(**asked, stream=True):
            texts[piece.choices[0].index] += piece.choices[0].text
    else:
        done = await client.completions.create(**asked)
        texts = {choice.index: choice.text for choice in done.choices}
        assert done.usage is not None
        assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (7 + 7 + 5, 2 * (3 + 3 + 1))
    assert texts == {0: "one", 1: "one", 2: "two", 3: "two", 4: "3", 5: "3"}


async def test_choices_of_one_seed_differ_and_belong_to_no_document(client: openai.AsyncOpenAI, server: Server) -> None:
    await client.completions.create(model=MODEL, prompt="say:x", n=3, seed=5)
    asked = (await server.told())["requests"][-3:]
    assert sorted(request["seed"] for request in asked) == [5, 6, 7]
    assert {request["document"] for request in asked} == {""}


@pytest.mark.parametrize(
    ("prompt", "ids"), [([5, 6, 7], [[5, 6, 7]]), ([[1], [2, 3]], [[1], [2, 3]])], ids=["one", "several"]
)
async def test_prompts_may_be_token_ids(
    client: openai.AsyncOpenAI, server: Server, prompt: Any, ids: list[list[int]]
) -> None:
    await client.completions.create(model=MODEL, prompt=prompt)
    asked = (await server.told())["requests"][-len(ids) :]
    assert [request["prompt_ids"] for request in asked] == ids
    assert {request["prefix"] for request in asked} == {""}


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs_tell_of_each_token(client: openai.AsyncOpenAI, stream: bool) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "say:ab", "logprobs": 2}
    if stream:
        told = [piece.choices[0].logprobs async for piece in await client.completions.create(**asked, stream=True)]
    else:
        told = [(await client.completions.create(**asked)).choices[0].logprobs]
    names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    joined = [[item for one in told for item in getattr(one, name)] for name in names]
    half = math.log(0.5)
    assert joined == [["a", "b"], [half, half], [{"a": half}, {"b": half}], [0, 1]]


async def test_without_likely_others_the_chosen_token_is_told(client: openai.AsyncOpenAI) -> None:
    done = await client.completions.create(model=MODEL, prompt="say:a", logprobs=0)
    assert done.choices[0].logprobs is not None
    assert done.choices[0].logprobs.top_logprobs == [{"a": math.log(0.5)}]


@pytest.mark.parametrize("stream", [False, True])
async def test_echo_puts_the_prompt_before_the_text(client: openai.AsyncOpenAI, stream: bool) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "say:ab", "echo": True}
    if stream:
        text = "".join([p.choices[0].text async for p in await client.completions.create(**asked, stream=True)])
    else:
        text = (await client.completions.create(**asked)).choices[0].text
    assert text == "say:abab"


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"temperature": 3}, "temperature", "temperature must be a number from 0 to 2."),
        ({"max_tokens": 0}, "max_tokens", "max_tokens must be a whole number of at least 1."),
        ({"max_tokens": "5"}, "max_tokens", "max_tokens must be a whole number."),
        ({"n": 129}, "n", "n must be a whole number from 1 to 128."),
        ({"n": 65, "prompt": ["a", "b"]}, "n", "at most 128 completions"),
        ({"logprobs": 6}, "logprobs", "from 0 to 5"),
        ({"stop": list("abcdefghijklmnopqrstuvwxyzABCDEFG")}, "stop", "a list of up to 32"),
        ({"stop": [""]}, "stop", "none of them empty"),
        ({"prompt": []}, "prompt", "prompt must be"),
        ({"prompt": [-1]}, "prompt", "prompt must be"),
        ({"prompt": [[]]}, "prompt", "prompt must be"),
        ({"prompt": ["a", 1]}, "prompt", "prompt must be"),
        ({"prompt": [1000]}, "prompt", "knows no such token"),
        ({"prompt": [1], "suffix": "a"}, "suffix", "prompt must be a text"),
        ({"prompt": [1], "echo": True}, "echo", "prompts as text"),
        ({"echo": True, "logprobs": 1}, "echo", "without logprobs"),
        ({"best_of": 3}, "best_of", "best_of is not supported; leave it out."),
        ({"presence_penalty": 0.5}, "presence_penalty", "is not supported"),
        ({"frequency_penalty": -1}, "frequency_penalty", "is not supported"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "is not supported"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "only allowed if stream is true"),
        ({"stream": True, "stream_options": {"x": True}}, "stream_options", "may have include_usage"),
        ({"x": 1}, None, "Unrecognized request argument supplied: x"),
        ({"x": 1, "samplers": 1}, None, "Unrecognized request arguments supplied: samplers, x"),
    ],
)
async def test_what_is_wrong_is_told_by_name(
    client: openai.AsyncOpenAI, fields: dict[str, Any], param: str | None, sentence: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.completions.create(model=MODEL, prompt="say:a", extra_body=fields)
    error = caught.value
    assert sentence in error.message
    assert (error.type, error.param, error.code) == ("invalid_request_error", param, None)


async def test_fields_that_say_that_they_are_not_used_are_fine(client: openai.AsyncOpenAI) -> None:
    neutral = {"best_of": 2, "n": 2, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "stop": None}
    done = await client.completions.create(model=MODEL, prompt="say:a", extra_body={**neutral, "suffix": None})
    assert [choice.text for choice in done.choices] == ["a", "a"]


async def test_models_are_listed_and_others_do_not_exist(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == [MODEL]
    assert (await client.models.retrieve(MODEL)).id == MODEL
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("owner/other")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        await client.completions.create(model="other", prompt="say:a")


async def test_an_error_of_the_engine_is_its_sentence(client: openai.AsyncOpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.completions.create(model=MODEL, prompt="fail", stream=stream)
        assert "The script says that this fails." in caught.value.message
        assert caught.value.type == "server_error"


async def test_an_error_that_nobody_thought_of_tells_nothing_of_the_prompt(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await client.completions.create(model=MODEL, prompt="my secret break")
    assert "secret" not in caught.value.message


async def test_an_error_after_the_first_piece_is_told_in_the_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.completions.create(model=MODEL, prompt="late", stream=True)
    assert (await anext(stream)).choices[0].text == "n"
    with pytest.raises(openai.APIError, match="This fails late"):
        await anext(stream)


async def test_a_model_that_cannot_infill_completes_the_prompt_without_the_suffix() -> None:
    async with started("plain") as server, server.openai() as client:
        done = await client.completions.create(model="plain", prompt="say:a", suffix="b")
        assert done.choices[0].text == "a"
