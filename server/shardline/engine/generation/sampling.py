"""From logits to one token."""

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 256
"""Tokens whose probabilities are added up together."""


class Sampler:
    """Chooses the next token.

    `temperature` 0 takes the likeliest token. Otherwise a token is drawn from the `top_k` likeliest (0: all)
    and of those from the likeliest that together have probability `top_p` (nucleus sampling, Holtzman et al.
    2020, arXiv:1904.09751), leaving out those whose probability is below `min_p` times that of the likeliest (Nguyen et
    al. 2024, arXiv:2407.01082). The same `seed` draws the same tokens. `choice` is the rank of the first token, from 0
    for the likeliest; above 0 it is taken whatever the temperature.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        seed: int | None = None,
        choice: int = 0,
    ) -> None:
        self._choice = choice
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p
        self._min_p = min_p
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def __call__(self, logits: Tensor) -> tuple[int, float]:
        """Choose from `logits` of shape (vocabulary,); returns the token and the logarithm of its probability.

        That probability is the model's own, at temperature 1 and with all tokens in.
        """
        token = self._choose(logits)
        numbers = logits.cpu().numpy()  # NumPy wakes no other threads, which takes longer than the work
        most = numbers.max()
        return token, float(numbers[token] - most - numpy.log(numpy.exp(numbers - most).sum()))

    def _choose(self, logits: Tensor) -> int:
        if self._choice:
            rank, self._choice = min(self._choice, len(logits) - 1), 0
            return int(logits.topk(rank + 1).indices[rank])
        if self._temperature == 0:
            return int(logits.cpu().numpy().argmax())
        if not self._top_k and self._top_p >= 1 and not self._min_p:
            return self._draw(logits)
        probabilities, ids = self._candidates(logits)
        drawn = torch.multinomial(probabilities, 1, generator=self._generator)
        return int(ids[drawn])

    def _draw(self, logits: Tensor) -> int:
        """One of all tokens: where a point falls on a line on which each is as long as it is likely."""
        numbers = logits.cpu().numpy()
        lengths = numpy.exp((numbers - numbers.max()) / self._temperature)
        point = float(torch.rand((), generator=self._generator, dtype=torch.double))
        # In any order, for to sort them takes far longer; in blocks, for so does to add them up one after the other.
        blocks = numpy.add.reduceat(lengths, range(0, len(lengths), BLOCK))
        block, point = _find(blocks, point * blocks.sum(dtype=numpy.double))
        return block * BLOCK + _find(lengths[block * BLOCK : (block + 1) * BLOCK], point)[0]

    def _candidates(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        kept, ids = logits.cpu().topk(min(self._top_k or len(logits), len(logits)))
        probabilities = ((kept - kept[0]).double() / self._temperature).softmax(0)  # never above 0, however cold
        before = probabilities.cumsum(0) - probabilities  # what the likelier tokens already have
        inside = (before < self._top_p) & (probabilities >= self._min_p * probabilities[0])
        inside[0] = True  # the likeliest stays whatever top_p says
        return probabilities[inside], ids[inside]


def _find(lengths: NDArray[numpy.float32], point: float) -> tuple[int, float]:
    """On which part of a line `point` falls, never one without length, and how far behind where that begins."""
    ends = lengths.cumsum(dtype=numpy.double)
    last = int(ends.searchsorted(ends[-1]))
    part = min(int(ends.searchsorted(point, side="right")), last)
    return part, point - (ends[part - 1] if part else 0.0)
