"""KV caches and their LRU pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from torch import Tensor

from shardline.engine.models import MemoryT, Model

SIMILAR = 0.5
"""The share of a prompt that a cache must hold already to be cut back for it; else one is made or evicted."""


class KVCache(Generic[MemoryT]):
    """Token ids together with the key/value memory they left in a model.

    The ids always say exactly what the memory holds: if a forward pass fails half way, both are emptied.
    """

    def __init__(self, model: Model[MemoryT]) -> None:
        self._model = model
        self._memory: MemoryT | None = None
        self.ids: list[int] = []

    @property
    def memory(self) -> MemoryT:
        """What the model keeps of the ids, made when it is needed."""
        if self._memory is None:
            self._memory = self._model.new_memory()
        return self._memory

    @property
    def can_forget(self) -> bool:
        """Whether the last tokens can be forgotten without reading all others again."""
        return self.memory.can_forget

    def reuse(self, prompt: Sequence[int]) -> Sequence[int]:
        """Cut back to what `prompt` shares with the cache; return the rest of it, at least one token."""
        self.truncate(self.shared(prompt))
        return prompt[len(self.ids) :]

    def shared(self, prompt: Sequence[int]) -> int:
        """Return how many tokens of `prompt` need no prefill.

        The last token always does, for its logits are wanted; all do where the memory cannot forget what differs.
        """
        shared = 0
        for known, wanted in zip(self.ids, prompt[:-1], strict=False):
            if known != wanted:
                break
            shared += 1
        return shared if shared == len(self.ids) or self.can_forget else 0

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens, or all of them where the model cannot forget a part."""
        if length == len(self.ids):
            return
        if self.can_forget:
            self.memory.truncate(length)
            del self.ids[length:]
        else:
            self.clear()

    def read(self, ids: Sequence[int], *, every: bool = False) -> Tensor:
        """Let the model read `ids`; returns logits as `Model.forward` does."""
        try:
            logits = self._model.forward(ids, self.memory, every=every)
        except BaseException:
            self.clear()
            raise
        self.ids.extend(ids)
        return logits

    def prepare(self) -> None:
        """Make what follows faster, at a time when nobody waits."""
        if self._memory is not None:
            self._model.prepare(self._memory)

    def clear(self) -> None:
        """Forget everything and free the memory."""
        self._memory = None
        self.ids = []


def read_batch(model: Model[MemoryT], texts: Sequence[tuple[Sequence[int], KVCache[MemoryT]]]) -> Sequence[Tensor]:
    """Let the model read the ids of each of `texts` into its cache in one pass; see `Model.forward_batch`."""
    try:
        logits = model.forward_batch([(ids, cache.memory) for ids, cache in texts])
    except BaseException:
        for _, cache in texts:
            cache.clear()
        raise
    for ids, cache in texts:
        cache.ids.extend(ids)
    return logits


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
        """Return a cache cut back to the beginning it shares with `ids`, and the rest of `ids` to prefill.

        That is the document's own cache. Without a document it is the free one that shares most, if that is at least
        `SIMILAR` of `ids`. The cache is held until `release`: at most `max_caches` may be.
        """
        kept = self._find(ids, document) or self._new() or self._evict()
        kept.document, kept.is_held, kept.was_used = document, True, True
        self._touch(kept)
        return kept.cache, kept.cache.reuse(ids)

    def release(self, cache: KVCache[MemoryT]) -> None:
        """Let `cache` be evicted, or found by another prompt."""
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
