"""Token healing for prompts that end inside a token.

A model has never seen ` enumer` + `ate` where its tokenizer always writes ` enumerate`; it goes astray after the half.
So the end of the prompt is cut off, and the first tokens must repeat it. The text that follows is the one that the
model writes after whole tokens.
"""

import torch
from torch import Tensor

from shardline.engine.generation.sampling import Sampler
from shardline.engine.tokenization.token_bytes import Vocabulary


class HealingSampler:
    """A sampler that allows only tokens that agree with `removed` until they have repeated it."""

    def __init__(self, sampler: Sampler, vocabulary: Vocabulary, removed: str) -> None:
        self._sampler = sampler
        self._vocabulary = vocabulary
        self._rest = removed.encode()

    def __call__(self, logits: Tensor) -> tuple[int, float]:
        """Return a token sampled from `logits`, shape (vocabulary,), and its log-probability among those allowed."""
        if not self._rest:
            return self._sampler(logits)
        agreeing = self._vocabulary.consistent(self._rest)
        if not agreeing:
            self._rest = b""  # a vocabulary without single bytes may have no such token
            return self._sampler(logits)
        allowed = torch.frombuffer(agreeing, dtype=torch.long)
        chosen, logprob = self._sampler(logits[allowed.to(logits.device)])
        token = int(allowed[chosen])
        self._rest = self._rest[len(self._vocabulary.spelled(token)) :]
        return token, logprob
