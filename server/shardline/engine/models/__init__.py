"""The protocol of all models."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from torch import Tensor


class Memory(Protocol):
    """The keys and values of the tokens that a model has run, on its devices."""

    can_truncate: bool
    """Whether the last tokens can be dropped; else only all of them, with a new memory."""

    def truncate(self, length: int) -> None:
        """Keep the first `length` tokens, if `can_truncate`."""


MemoryT = TypeVar("MemoryT", bound=Memory)


class Model(Protocol[MemoryT]):
    """A causal language model over token ids."""

    bytes_per_token: int
    """Bytes of weights read for each token."""

    def new_memory(self) -> MemoryT:
        """Return an empty memory."""

    def forward(self, ids: Sequence[int], memory: MemoryT, *, every: bool = False) -> Tensor:
        """Run `ids` after the tokens in `memory`, and add them to it.

        Returns the logits, shape (vocabulary,), of the token that follows the last; with `every`, of those that follow
        each of `ids`, shape (len(ids), vocabulary).
        """

    def forward_batch(self, texts: Sequence[tuple[Sequence[int], MemoryT]]) -> Sequence[Tensor]:
        """Run the ids of each of `texts` after the tokens in its own memory, and add them to it.

        Returns for each text the logits, shape (len(ids), vocabulary), of the tokens that follow each of its ids. A
        model that can reads its weights once for all.
        """

    def prepare(self, memory: MemoryT) -> None:
        """Speed up the tokens that follow those in `memory`, while nobody waits; `memory` stays as it is."""
