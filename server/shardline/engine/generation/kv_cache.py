"""A KV cache: token ids with their keys and values."""

from collections.abc import Sequence
from typing import Generic

from torch import Tensor

from shardline.engine.models import MemoryT, Model


class KVCache(Generic[MemoryT]):
    """Token ids with their keys and values in a model's memory.

    The ids are always exactly those in the memory: if a forward pass fails half way, both are emptied.
    """

    def __init__(self, model: Model[MemoryT]) -> None:
        self._model = model
        self._memory: MemoryT | None = None
        self.ids: list[int] = []

    @property
    def memory(self) -> MemoryT:
        """The keys and values of the ids, allocated when first needed."""
        if self._memory is None:
            self._memory = self._model.new_memory()
        return self._memory

    @property
    def can_truncate(self) -> bool:
        """Whether the last tokens can be dropped without running all others again."""
        return self.memory.can_truncate

    def reuse(self, prompt: Sequence[int]) -> Sequence[int]:
        """Truncate to the prefix shared with `prompt`; return the rest of `prompt`, at least one token."""
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
        return shared if shared == len(self.ids) or self.can_truncate else 0

    def truncate(self, length: int) -> None:
        """Keep the first `length` tokens, or none where the model cannot drop only a part."""
        if length == len(self.ids):
            return
        if self.can_truncate:
            self.memory.truncate(length)
            del self.ids[length:]
        else:
            self.clear()

    def read(self, ids: Sequence[int], *, every: bool = False) -> Tensor:
        """Run `ids` through the model; return logits as `Model.forward` does."""
        try:
            logits = self._model.forward(ids, self.memory, every=every)
        except BaseException:
            self.clear()
            raise
        self.ids.extend(ids)
        return logits

    def prepare(self) -> None:
        """Speed up the next tokens, while nobody waits."""
        if self._memory is not None:
            self._model.prepare(self._memory)

    def clear(self) -> None:
        """Drop all tokens and free the memory."""
        self._memory = None
        self.ids = []


def read_batch(model: Model[MemoryT], texts: Sequence[tuple[Sequence[int], KVCache[MemoryT]]]) -> Sequence[Tensor]:
    """Run the ids of each of `texts` into its cache in one pass; see `Model.forward_batch`."""
    try:
        logits = model.forward_batch([(ids, cache.memory) for ids, cache in texts])
    except BaseException:
        for _, cache in texts:
            cache.clear()
        raise
    for ids, cache in texts:
        cache.ids.extend(ids)
    return logits
