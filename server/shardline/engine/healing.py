"""Token healing: a prompt that ends inside a token is cut back, and the first tokens must say again what was cut.

A model has never seen ` enumer` + `ate` where its tokenizer always writes ` enumerate`, and goes astray behind
the half. So the end of the prompt is taken off, and until it is written again only tokens are allowed that agree
with it. What comes after is what the model would have written had it seen whole tokens.
"""

import re
from typing import TYPE_CHECKING

from torch import Tensor

from shardline.engine.sampling import Sampler
from shardline.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from shardline.engine.codec import Encoded

MOST_TOKENS = 8
"""A word of more tokens than this is cut back only this far."""

_WORD = re.compile(r"\w*\Z")


def cut_back(text: str, encoded: "Encoded", vocabulary: Vocabulary) -> int:
    """How many tokens of `encoded`, that of `text`, to keep.

    The last token goes, and as many more as the word at the end of the text has. Tokens stay that do not stand
    for exactly their part of the text, as where a tokenizer adds a space in front or does not know a letter.
    """
    word = _WORD.search(text)
    word_start = word.start() if word else len(text)
    spelled, keep = b"", len(encoded.ids)
    for index in reversed(range(max(0, keep - MOST_TOKENS), keep)):
        start = encoded.offsets[index][0]
        spelled = vocabulary.spelled(encoded.ids[index]) + spelled
        if spelled == text[start:].encode():  # else in the middle of a letter, or not the text itself
            keep = index
            if start <= word_start:
                break
    return keep


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
        allowed = self._vocabulary.consistent(self._rest)
        if not len(allowed):
            self._rest = b""  # no token continues: a vocabulary without single bytes
            return self._sampler(logits)
        chosen, logprob = self._sampler(logits[allowed.to(logits.device)])
        token = int(allowed[chosen])
        self._rest = self._rest[len(self._vocabulary.spelled(token)) :]
        return token, logprob
