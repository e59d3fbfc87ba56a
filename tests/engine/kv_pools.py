"""Pools of KV caches."""

from collections.abc import Sequence
from typing import Any

from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.kv_cache_pool import KVCaches


def of(caches: KVCaches[Any], document: str, ids: Sequence[int] = (1, 2, 3, 4, 5)) -> KVCache[Any]:
    """Return the cache of a document that has been completed."""
    cache, _ = caches.nearest(ids, document)
    caches.release(cache)
    return cache
