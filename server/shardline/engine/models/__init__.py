"""What the generation loop asks of a model, whichever runs it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from torch import Tensor


class Memory(Protocol):
    """The keys and values of the tokens a model has seen, on the model's devices."""

    can_truncate: bool
    """Whether the last tokens can be forgotten one by one; else only all together, with a new memory."""

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens, where the memory can."""


MemoryT = TypeVar("MemoryT", bound=Memory)


class Model(Protocol[MemoryT]):
    """A causal language model over token ids."""

    bytes_per_token: int
    """The bytes of weights that are read for each token."""

    def new_memory(self) -> MemoryT:
        """An empty memory for `forward`."""

    def forward(self, ids: Sequence[int], memory: MemoryT, *, every: bool = False) -> Tensor:
        """Read `ids` after what is in `memory`, and add them to it.

        Returns the logits, shape (vocabulary,), of the token that follows the last one; with `every`, of those that
        follow each of `ids`, shape (len(ids), vocabulary).
        """

    def forward_batch(self, texts: Sequence[tuple[Sequence[int], MemoryT]]) -> Sequence[Tensor]:
        """Read the ids of each of `texts` after what is in its own memory, and add them to it.

        Returns for each the logits, shape (len(ids), vocabulary), of the tokens that follow each of its ids. Where the
        model can, its weights are read once for all.
        """

    def prepare(self, memory: MemoryT) -> None:
        """Make what follows the text in `memory` faster, at a time when nobody waits; `memory` stays as it is."""
