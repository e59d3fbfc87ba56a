"""Which KV cache a prompt gets that belongs to no document: one where most of it is read already."""

import bisect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

Text = str | tuple[int, ...]

MOST_KEPT = 8
"""So many prompts are remembered that nobody waits for: no engine keeps more of them."""

LIKE = 0.5
"""The share of a prompt that another must begin with to take its place, and its KV cache."""


BLOCK = 4096
"""Texts are compared in pieces of this size: to compare them whole takes a copy of each."""


class Slots:
    """Gives prompts names, as documents have: of another prompt, where as many are known as are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Text] = OrderedDict()  # what each name was used for last, the oldest first
        self._made = 0

    @contextmanager
    def lend(self, prompt: Text) -> Iterator[str]:
        """A name for `prompt`, which no other has as long as the block lasts."""
        name = self._nearest(prompt) or self._oldest()
        if name is None:
            name, self._made = f"http/{self._made}", self._made + 1
        else:
            del self._kept[name]
        try:
            yield name
        finally:
            self._kept[name] = prompt
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    def _nearest(self, prompt: Text) -> str | None:
        shared = {name: common(prompt, other) for name, other in self._kept.items() if type(other) is type(prompt)}
        name = max(shared, key=lambda name: shared[name], default=None)
        return name if name is not None and 0 < shared[name] >= LIKE * len(prompt) else None

    def _oldest(self) -> str | None:
        """The one to take where there are enough."""
        return next(iter(self._kept)) if len(self._kept) == MOST_KEPT else None


def common(one: Sequence[object], other: Sequence[object]) -> int:
    """How long the beginning is that both have."""
    longest, begin = min(len(one), len(other)), 0
    while begin < longest and one[begin : begin + BLOCK] == other[begin : begin + BLOCK]:
        begin += BLOCK
    block, of_other = one[begin : begin + BLOCK], other[begin : begin + BLOCK]
    in_block = range(1, min(len(block), len(of_other)) + 1)
    return min(longest, begin + bisect.bisect_left(in_block, True, key=lambda end: block[:end] != of_other[:end]))
