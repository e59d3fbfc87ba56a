"""One cache for each document, as many as there is room for; prompts without a document take the nearest."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.engine import Request
from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.kv_cache_pool import KVCaches
from shardline.engine.local.runner import MAX_CACHES, caches_for
from shardline.engine.plan import DeviceShare, Plan
from tests.engine.asked import Asked, finish
from tests.engine.crowded import crowded
from tests.engine.echo import WORDS, Echo, table
from tests.engine.kv_pools import of
from tests.engine.tiny_runner import CODE, open_tiny

pytestmark = pytest.mark.slow


def share(limit: int | None) -> DeviceShare:
    return DeviceShare(device="cpu", limit=limit, weights=50, kv_cache=10, workspace=5, layers=1)


def plan(*limits: int | None) -> Plan:
    return Plan(model="m", dtype="float32", device_map={"": "cpu"}, devices=tuple(share(limit) for limit in limits))


def test_each_document_has_its_own_and_keeps_it() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), max_caches=2)
    one, two = of(caches, "one"), of(caches, "two")
    assert one is not two
    assert of(caches, "one") is one


def test_a_new_document_is_given_the_one_that_was_used_least_recently() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), max_caches=2)
    one, two = of(caches, "one"), of(caches, "two")
    of(caches, "one")
    assert of(caches, "three") is two
    assert of(caches, "one") is one
    assert of(caches, "two") is two  # which three has lost


def test_of_what_another_document_read_only_the_common_beginning_counts() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), max_caches=1)
    of(caches, "one").read([1, 2, 3])
    two, rest = caches.nearest([1, 2, 4, 5], "two")
    assert rest == [4, 5]
    assert two.ids == [1, 2]


def test_a_closed_document_is_forgotten() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), max_caches=2)
    one = of(caches, "one")
    caches.forget("one")
    caches.forget("never there")
    assert of(caches, "one") is not one


def test_there_are_as_many_as_every_device_has_room_for() -> None:
    assert caches_for(plan(65)) == 1
    assert caches_for(plan(85)) == 3
    assert caches_for(plan(85, 75)) == 2
    assert caches_for(plan(60)) == 1
    assert caches_for(plan(10_000)) == caches_for(plan(None)) == MAX_CACHES


def read(caches: KVCaches[Any], ids: Sequence[int], document: str = "") -> KVCache[Any]:
    """Prefill `ids` as a request does; returns the cache, which is held."""
    cache, rest = caches.nearest(ids, document)
    cache.read(rest)
    assert cache.ids == list(ids)
    return cache


def test_a_prompt_without_a_document_takes_the_free_cache_that_shares_the_longest_prefix() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), max_caches=4)
    some = [read(caches, ids) for ids in ([1, 2, 3], [1, 2, 3, 4, 5], [1, 9, 9])]
    document = read(caches, [1, 2, 3, 4, 5, 6, 7], "document")
    for cache in (*some, document):
        caches.release(cache)
    cache, rest = caches.nearest([1, 2, 3, 4, 5, 6, 7])
    assert cache is some[1]
    assert rest == [6, 7]
    assert caches.nearest([1, 2, 3, 4, 5, 6, 7])[0] is some[0]  # the nearest that is free
    assert document.ids == [1, 2, 3, 4, 5, 6, 7]


def test_one_that_shares_less_than_half_of_the_prompt_is_kept_while_there_is_room() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), max_caches=2)
    first = of(caches, "")
    first.read([1, 2, 3])
    other = of(caches, "", [1, 4, 5])
    assert other is not first
    other.read([1, 4, 5])
    assert first.ids == [1, 2, 3]
    assert of(caches, "", [7, 8]) is first  # the least recently used
    assert of(caches, "", [1, 4, 6]) is other


def test_a_document_never_takes_the_cache_of_a_prompt_without_one_while_there_is_room() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), max_caches=2)
    loose = read(caches, [1, 2, 3])
    caches.release(loose)
    assert of(caches, "document", [1, 2, 3, 4]) is not loose
    caches.forget("")
    assert of(caches, "", [1, 2, 3]) is not loose


@given(st.lists(st.tuples(st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=9), st.booleans()), max_size=20))
def test_no_two_that_run_at_once_share_a_cache(prompts: list[tuple[list[int], bool]]) -> None:
    caches = KVCaches(Echo(table(0, 1.0)), max_caches=3)
    held: list[KVCache[Any]] = []
    for ids, ends in prompts:
        if held and (ends or len(held) == caches.max_caches):
            caches.release(held.pop(0))
        cache = read(caches, ids)
        assert not any(cache is other for other in held)
        held.append(cache)


PROMPTS = [CODE * 2 + rest for rest in ("", "    print(", "    return name", "x")] + ["class A:\n", CODE]


@pytest.mark.parametrize("engine", ["auto", "transformers"])
def test_requests_without_a_document_reuse_each_others_prefix_and_say_the_same(tiny_folder: Path, engine: str) -> None:
    runner = open_tiny(tiny_folder, dtype="float32", engine=engine)
    requests = [Request(document="", prefix=prompt, max_tokens=12) for prompt in PROMPTS]
    expected = []
    for number, request in enumerate(requests):
        own = replace(request, document=f"{number}")
        expected.append("".join(chunk.text for chunk in runner.complete(own, threading.Event())))
        runner.forget(own.document)
    for _ in range(2):
        several = [Asked(runner, request) for request in requests]
        finish(runner)
        assert [asked.text for asked in several] == expected
    usages = []
    for request, text in zip(requests, expected, strict=True):
        chunks = list(runner.complete(request, threading.Event()))
        assert "".join(chunk.text for chunk in chunks) == text
        usages.append(chunks[-1].usage)
    assert all(usage.cached_tokens >= usage.prompt_tokens / 2 for usage in usages)


def test_requests_without_a_document_run_together_in_turn(tiny_folder: Path) -> None:
    _, runner = crowded(tiny_folder, full=())
    several = [Asked(runner, Request(document="", prefix=CODE, max_tokens=20)) for _ in range(MAX_CACHES + 1)]
    while not several[0].tokens:
        runner.step()
    assert not several[0].ended.done()
    for _ in range(MAX_CACHES):
        runner.step()
    assert [bool(asked.tokens) for asked in several] == [True] * MAX_CACHES + [False]
    finish(runner)
    assert len({asked.text for asked in several}) == 1
    assert all(asked.ended.result() is None for asked in several)
