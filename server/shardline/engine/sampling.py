"""From logits to one token."""

import torch
from torch import Tensor


class Sampler:
    """Chooses the next token.

    `temperature` 0 takes the likeliest token. Otherwise a token is drawn from the `top_k` likeliest (0: all)
    and of those from the likeliest that together have probability `top_p` (nucleus sampling, Holtzman et al.
    2020, arXiv:1904.09751). The same `seed` draws the same tokens.
    """

    def __init__(
        self, *, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int | None = None
    ) -> None:
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def __call__(self, logits: Tensor) -> int:
        """Choose from `logits` of shape (vocabulary,)."""
        if self._temperature == 0:
            return int(logits.argmax())
        probabilities, ids = self._candidates(logits)
        drawn = torch.multinomial(probabilities, 1, generator=self._generator)
        return int(ids[drawn])

    def _candidates(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        scaled = logits.float().cpu() / self._temperature
        count = min(self._top_k or len(scaled), len(scaled))
        kept, ids = scaled.topk(count)
        probabilities = kept.softmax(0)
        before = probabilities.cumsum(0) - probabilities  # what the likelier tokens already have
        inside = before < self._top_p
        inside[0] = True  # the likeliest stays whatever top_p says
        return probabilities[inside], ids[inside]
