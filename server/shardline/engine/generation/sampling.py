"""A sampler: logits to one token."""

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 256
"""Tokens whose probabilities are summed together."""


class Sampler:
    """A sampler for one text; the same `seed` draws the same tokens.

    `temperature` 0 takes the likeliest token. Otherwise one of the `top_k` likeliest (0: all) is drawn, from the
    nucleus that together has probability `top_p` (Holtzman et al. 2020, arXiv:1904.09751). Tokens below `min_p` times
    the probability of the likeliest are left out (Nguyen et al. 2024, arXiv:2407.01082). `choice` is the rank of the
    first token, 0 for the likeliest; above 0 it overrides the temperature.
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
        """Return a token from `logits`, shape (vocabulary,), and its log-probability.

        That is the model's own, at temperature 1 and among all tokens.
        """
        token = self._choose(logits)
        numbers = logits.cpu().numpy()  # torch would wake threads, which takes longer than the work
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
        """Draw one of all tokens: each has a stretch of a line as long as its probability, and a point falls on it."""
        numbers = logits.cpu().numpy()
        lengths = numpy.exp((numbers - numbers.max()) / self._temperature)
        point = float(torch.rand((), generator=self._generator, dtype=torch.double))
        # Unsorted and in blocks: sorting takes far longer, and so does one running sum.
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
    """Return the index of the stretch that `point` falls on, never an empty one, and the distance from its start."""
    ends = lengths.cumsum(dtype=numpy.double)
    last = int(ends.searchsorted(ends[-1]))
    part = min(int(ends.searchsorted(point, side="right")), last)
    return part, point - (ends[part - 1] if part else 0.0)
