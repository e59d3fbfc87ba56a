"""Token healing: a prompt that ends inside a token is cut back, and the first tokens must say again what was cut.

A model has never seen ` enumer` + `ate` where its tokenizer always writes ` enumerate`, and goes astray behind
the half. So the end of the prompt is taken off, and until it is written again only tokens are allowed that agree
with it. What comes after is what the model would have written had it seen whole tokens.
"""

import torch
from torch import Tensor

from shardline.engine.generation.sampling import Sampler
from shardline.engine.tokenization.token_bytes import Vocabulary


class HealingSampler:
    """Samples as `sampler` does, but until `removed` has been written again only what agrees with it."""

    def __init__(self, sampler: Sampler, vocabulary: Vocabulary, removed: str) -> None:
        self._sampler = sampler
        self._vocabulary = vocabulary
        self._rest = removed.encode()

    def __call__(self, logits: Tensor) -> tuple[int, float]:
        """Choose from `logits` of shape (vocabulary,); returns the token and the logarithm of its probability."""
        if not self._rest:
            return self._sampler(logits)
        agreeing = self._vocabulary.consistent(self._rest)
        if not agreeing:
            self._rest = b""  # no token continues: a vocabulary without single bytes
            return self._sampler(logits)
        allowed = torch.frombuffer(agreeing, dtype=torch.long)
        chosen, logprob = self._sampler(logits[allowed.to(logits.device)])
        token = int(allowed[chosen])
        self._rest = self._rest[len(self._vocabulary.spelled(token)) :]
        return token, logprob
