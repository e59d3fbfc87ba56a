"""Advice for a slow model: only where it is slow, and only what would change something."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shardline.engine import Usage
from shardline.engine.plan import GIB, DeviceShare, Plan
from shardline.lsp.hosting.slow_model import ANSWERS, SLOW_SECONDS, advice
from shardline.settings import GenerationSettings, ModelSettings, RemoteSettings, Settings

NAME = "org/model"


def cost(seconds: float, first: float = 0.1) -> Usage:
    return Usage(
        prompt_tokens=100, cached_tokens=0, completion_tokens=20, time_to_first_token=first, total_time=seconds
    )


def placed(**gibibytes: int) -> Plan:
    """Return a placement with weights on the devices `cpu`, `disk`, `gpu` and `second`, which is a GPU too."""
    numbers = {"gpu": 0, "second": 1}
    shares = [
        DeviceShare(
            device=numbers.get(device, device), limit=None, weights=size * GIB, kv_cache=0, workspace=0, layers=1
        )
        for device, size in gibibytes.items()
    ]
    return Plan(model=NAME, dtype="float16", device_map={}, devices=tuple(shares))


def helps(placement: Plan | None = None, *, first: float = 0.1, name: str = NAME, **model: Any) -> list[str]:
    settings = Settings(model=ModelSettings(name=name, **model), generation=GenerationSettings(max_tokens=99))
    told = advice([cost(5.0, first)] * ANSWERS, settings, placement or placed(gpu=1))
    assert told.startswith(f"{name} takes 5.0 seconds for a suggestion. What would help: ")
    return told.removesuffix(".").partition("help: ")[2].split("; ")


PACK = "set model.quantization to int4, for models like Llama"
SHORTER = "lower generation.maxTokens, which is 99"
SMALLER = "choose a smaller model.name"
GUESS = "set model.draft to a small model with the same tokens"


@given(st.lists(st.floats(0, 10), max_size=2 * ANSWERS))
def test_it_is_slow_where_half_of_the_answers_came_late(seconds: list[float]) -> None:
    told = advice([cost(each) for each in seconds], Settings(), None)
    late = sum(each > SLOW_SECONDS for each in seconds)
    if 2 * late > len(seconds) >= ANSWERS:
        assert told
    if 2 * late < len(seconds) or len(seconds) < ANSWERS:
        assert not told


def test_weights_that_are_not_packed_can_be() -> None:
    assert helps() == [PACK, SHORTER, SMALLER]
    assert PACK not in helps(quantization="int4")
    assert PACK not in helps(engine="transformers")
    assert PACK not in helps(name="folder/model.gguf")


def test_weights_that_are_fetched_for_each_token_are_named() -> None:
    on_cpu = "a smaller model.name or GPUs with more memory, as 3.0 GiB of weights are fetched for each token"
    on_disk = "a smaller model.name or more memory, as 3.0 GiB of weights are fetched for each token"
    assert helps(placed(gpu=1, cpu=2, disk=1)) == [PACK, on_cpu, SHORTER, GUESS]
    assert helps(placed(cpu=1, disk=3)) == [PACK, on_disk, SHORTER, GUESS]
    assert helps(placed(cpu=1)) == [PACK, SHORTER, SMALLER]
    assert helps(placed(gpu=1, second=3)) == [PACK, SHORTER, GUESS, SMALLER]


def test_where_reading_takes_the_time_less_is_to_be_read_and_else_less_to_be_written() -> None:
    assert helps(first=4.0, context_tokens=777) == [PACK, "lower model.contextTokens, which is 777", SMALLER]


def test_a_large_model_may_have_a_small_one_beside_it() -> None:
    assert helps(placed(gpu=2)) == [PACK, SHORTER, GUESS, SMALLER]
    assert GUESS not in helps(placed(gpu=2), draft="org/small")


def test_there_is_no_smaller_model_than_the_one_that_comes_with_it() -> None:
    assert helps(name=ModelSettings().name) == [SHORTER]


def test_a_server_elsewhere_is_not_to_be_changed_from_here() -> None:
    remote = RemoteSettings(base_url="http://127.0.0.1:8000", model="large")
    settings = Settings(model=ModelSettings(name=NAME), remote=remote)
    told = advice([cost(5.0)] * ANSWERS, settings, None)
    assert told == (
        "large takes 5.0 seconds for a suggestion. What would help: lower generation.maxTokens, which is 64."
    )
