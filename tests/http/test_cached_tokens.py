"""KV cache reuse between prompts without a document, in the real engine."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from shardline.engine.local.runner import MAX_CACHES
from tests.http.servers import SERVE, Server, started

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

LENGTH = 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_folder: Path) -> AsyncIterator[Server]:
    async with started("--model", str(tiny_folder), command=SERVE) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with server.openai() as client:
        yield client


async def complete(client: openai.AsyncOpenAI, prompt: str | Sequence[int], **changes: Any) -> Any:
    model = (await client.models.list()).data[0].id
    return await client.completions.create(**{"model": model, "prompt": prompt, "max_tokens": 2, **changes})


async def cached(client: openai.AsyncOpenAI, prompt: str | Sequence[int]) -> int:
    """How many tokens of `prompt` are in a KV cache already."""
    count: int = (await complete(client, prompt)).usage.prompt_tokens_details.cached_tokens
    return count


async def test_how_much_two_prompts_share_is_exact(client: openai.AsyncOpenAI) -> None:
    for number, same in enumerate(range(LENGTH // 2, LENGTH + 1)):
        first = [100 + number] * LENGTH
        assert await cached(client, first) == 0
        last_is_read_again = min(same, LENGTH - 1)
        assert await cached(client, [*first[:same], *[200 + number] * (LENGTH - same)]) == last_is_read_again


async def test_one_that_shares_less_than_half_has_another_kv_cache(client: openai.AsyncOpenAI) -> None:
    first = [7] * LENGTH
    assert await cached(client, first) == 0
    assert await cached(client, [7, *[8] * (LENGTH - 1)]) == 0
    assert await cached(client, first) == LENGTH - 1


async def test_a_prompt_that_goes_on_from_another_has_its_kv_cache(client: openai.AsyncOpenAI) -> None:
    first, other, longer = "def first_function(", "class Other", "def first_function(one"
    assert [await cached(client, prompt) > 0 for prompt in (first, other, longer)] == [False, False, True]


async def test_choices_are_what_they_would_be_alone(client: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"prompt": "def add(a", "max_tokens": 12, "n": 3, "seed": 5}
    together = [choice.text for choice in (await complete(client, **asked)).choices]
    alone = [(await complete(client, **{**asked, "n": 1, "seed": 5 + index})).choices[0].text for index in range(3)]
    assert together == alone
    assert len(set(together)) == 3


async def test_more_prompts_than_are_kept_take_the_places_of_the_oldest(server: Server) -> None:
    async def cached(prompt: str) -> int:
        answer = (await server.http.post("/infill", json={"prompt": prompt, "n_predict": 1})).json()
        count: int = answer["timings"]["cache_n"]
        return count

    prompts = [f"{character * 4} = [1, 2, 3]\n" for character in "abcdefghijklmnopqrstuvwx"]
    assert len(prompts) == 3 * MAX_CACHES
    assert [await cached(prompt) for prompt in (*prompts, *prompts)] == [0] * len(prompts) * 2
    assert all([await cached(f"{prompt}x") for prompt in prompts[-MAX_CACHES:]])
