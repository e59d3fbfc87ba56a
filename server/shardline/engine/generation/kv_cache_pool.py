"""An LRU pool of KV caches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.models import MemoryT, Model

SIMILAR = 0.5
"""The share of a prompt that a cache must hold already to be cut back for it; else one is made or evicted."""


@dataclass(eq=False)
class _Kept(Generic[MemoryT]):
    """A cache in the pool with the document it belongs to, "" for none."""

    cache: KVCache[MemoryT]
    document: str = ""
    is_held: bool = False
    was_used: bool = False
    """Whether a request has used it; else it was only warmed."""


class KVCaches(Generic[MemoryT]):
    """An LRU pool of at most `max_caches` KV caches; a new text gets an evicted cache's memory.

    A document keeps a cache of its own. Prompts without a document share the others by their longest common prefix.
    Caches that were only warmed are evicted first, and held ones never.
    """

    def __init__(self, model: Model[MemoryT], *, max_caches: int) -> None:
        self._model = model
        self.max_caches = max_caches
        self._kept: list[_Kept[MemoryT]] = []  # least recently used first

    def nearest(self, ids: Sequence[int], document: str = "") -> tuple[KVCache[MemoryT], Sequence[int]]:
        """Return the cache that shares the longest prefix with `ids`, cut back to it, and the rest of `ids` to prefill.

        A document has a cache of its own. Without one the nearest free cache must share `SIMILAR` of `ids`; else a new
        or evicted one is taken. The cache is held until `release`, at most `max_caches` at a time.
        """
        kept = self._find(ids, document) or self._new() or self._evict()
        kept.document, kept.is_held, kept.was_used = document, True, True
        self._touch(kept)
        return kept.cache, kept.cache.reuse(ids)

    def release(self, cache: KVCache[MemoryT]) -> None:
        """Free `cache` for other prompts, or for eviction."""
        for kept in self._kept:
            if kept.cache is cache:
                kept.is_held = False

    def to_warm(self, ids: Sequence[int], document: str) -> KVCache[MemoryT] | None:
        """Return the cache that `nearest` would, or None where that would evict a used one."""
        kept = self._find(ids, document)
        if kept and kept.was_used:
            return kept.cache
        kept = kept or self._new() or (self._evict() if not all(kept.was_used for kept in self._kept) else None)
        if kept is None:
            return None
        kept.document = document
        self._touch(kept)
        return kept.cache

    def prepare(self) -> None:
        """Speed up the next answer for the text used last, while nobody waits."""
        last = next((kept for kept in reversed(self._kept) if kept.was_used), None)
        if last:
            last.cache.prepare()

    def forget(self, document: str) -> None:
        """Free the memory of a closed document; "" frees all that belong to none."""
        self._kept = [kept for kept in self._kept if kept.document != document]

    def clear(self) -> None:
        """Free the memory of all caches, even held ones."""
        for kept in self._kept:
            kept.cache.clear()
        self._kept.clear()

    def _find(self, ids: Sequence[int], document: str) -> _Kept[MemoryT] | None:
        if document:
            return next((kept for kept in self._kept if kept.document == document), None)
        free = [kept for kept in self._kept if not (kept.document or kept.is_held)]
        shared = [kept.cache.shared(ids) for kept in free]
        most = max(shared, default=0)
        return free[shared.index(most)] if 0 < SIMILAR * len(ids) <= most else None

    def _new(self) -> _Kept[MemoryT] | None:
        return _Kept(KVCache(self._model)) if len(self._kept) < self.max_caches else None

    def _evict(self) -> _Kept[MemoryT]:
        return min((kept for kept in self._kept if not kept.is_held), key=lambda kept: kept.was_used)

    def _touch(self, kept: _Kept[MemoryT]) -> None:
        if kept in self._kept:
            self._kept.remove(kept)
        self._kept.append(kept)
