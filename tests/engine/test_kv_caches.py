"""One cache for each document, as many as there is room for."""

from shardline.engine.generation.kv_cache import KVCaches
from shardline.engine.local.runner import MOST_CACHES, caches_for
from shardline.engine.plan import DeviceShare, Plan
from tests.engine.test_draft import Echo, table


def share(limit: int | None) -> DeviceShare:
    return DeviceShare(device="cpu", limit=limit, weights=50, kv_cache=10, workspace=5, layers=1)


def plan(*limits: int | None) -> Plan:
    return Plan(model="m", dtype="float32", device_map={"": "cpu"}, devices=tuple(share(limit) for limit in limits))


def test_each_document_has_its_own_and_keeps_it() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), most=2)
    one, two = caches.of("one"), caches.of("two")
    assert one is not two
    assert caches.of("one") is one


def test_a_new_document_is_given_the_one_that_was_used_least_recently() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), most=2)
    one, two = caches.of("one"), caches.of("two")
    caches.of("one")
    assert caches.of("three") is two
    assert caches.of("one") is one
    assert caches.of("two") is two  # which three has lost


def test_of_what_another_document_read_only_the_common_beginning_counts() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), most=1)
    caches.of("one").read([1, 2, 3])
    two = caches.of("two")
    assert two.reuse([1, 2, 4, 5]) == [4, 5]
    assert two.ids == [1, 2]


def test_a_closed_document_is_forgotten() -> None:
    caches = KVCaches(Echo(table(0, 1.0)), most=2)
    one = caches.of("one")
    caches.forget("one")
    caches.forget("never there")
    assert caches.of("one") is not one


def test_there_are_as_many_as_every_device_has_room_for() -> None:
    assert caches_for(plan(65)) == 1
    assert caches_for(plan(85)) == 3
    assert caches_for(plan(85, 75)) == 2
    assert caches_for(plan(60)) == 1
    assert caches_for(plan(10_000)) == caches_for(plan(None)) == MOST_CACHES
