"""Which part of a prompt a model has already read: one cache for each document, as many as there is room for."""

from collections.abc import Sequence
from typing import Generic

from torch import Tensor

from shardline.engine.models import MemoryT, Model


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
        """Cut back to what `prompt` shares with the cache; return the rest of it, at least one token.

        The last token is always read again, because it is the one whose logits are wanted.
        """
        shared = 0
        for known, wanted in zip(self.ids, prompt[:-1], strict=False):
            if known != wanted:
                break
            shared += 1
        self.truncate(shared)
        return prompt[len(self.ids) :]

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


class KVCaches(Generic[MemoryT]):
    """At most `most` caches; a new document is given the one that was used least recently, with its memory.

    Those that were only warmed go before those that were used, and those that are held do not go.
    """

    def __init__(self, model: Model[MemoryT], *, most: int) -> None:
        self._model = model
        self.most = most
        self._warmed: dict[str, KVCache[MemoryT]] = {}  # both with the least recent first
        self._used: dict[str, KVCache[MemoryT]] = {}
        self._held: set[str] = set()

    def hold(self, document: str) -> KVCache[MemoryT]:
        """The cache of `document`, which is kept until `release`: at most `most` may be held."""
        cache = self.of(document)
        self._held.add(document)
        return cache

    def release(self, document: str) -> None:
        """Let the cache of `document` go when there is need for room."""
        self._held.discard(document)

    def of(self, document: str) -> KVCache[MemoryT]:
        """The cache of `document`, which counts as used from now on."""
        cache = self._used.pop(document, None) or self._warmed.pop(document, None)
        if cache is None:
            cache = self._take_one() if self._is_full else KVCache(self._model)
        self._used[document] = cache
        return cache

    def to_warm(self, document: str) -> KVCache[MemoryT] | None:
        """The cache of `document`, or None where it has none and all are used by others."""
        if document in self._used:
            return self._used[document]
        cache = self._warmed.pop(document, None)
        if cache is None:
            if self._is_full and not self._warmed:
                return None
            cache = self._take_one() if self._is_full else KVCache(self._model)
        self._warmed[document] = cache
        return cache

    def prepare(self) -> None:
        """Make what follows the text that was used last faster, at a time when nobody waits."""
        if self._used:
            next(reversed(self._used.values())).prepare()

    def forget(self, document: str) -> None:
        """Free the memory of a document that was closed."""
        self._warmed.pop(document, None)
        self._used.pop(document, None)

    def clear(self) -> None:
        """Free the memory of all, those that are held among them."""
        for cache in (*self._warmed.values(), *self._used.values()):
            cache.clear()
        self._warmed.clear()
        self._used.clear()

    @property
    def _is_full(self) -> bool:
        return len(self._warmed) + len(self._used) == self.most

    def _take_one(self) -> KVCache[MemoryT]:
        some = self._warmed or self._used
        return some.pop(next(document for document in some if document not in self._held))
