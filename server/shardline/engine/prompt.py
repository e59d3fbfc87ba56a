"""From the text before the cursor to the token ids a model reads."""

import math
from collections.abc import Sequence

from tokenizers import Tokenizer

STEPS_PER_BUDGET = 4
"""A prompt that is too long loses its beginning in quarters of the budget: while one types the edge stays put,
so the KV cache stays valid, and jumps only now and then."""


def build(prefix: str, *, tokenizer: Tokenizer, begin_ids: Sequence[int], budget: int) -> list[int]:
    """Encode `prefix` as at most `budget` token ids, the end of the text kept, `begin_ids` at the very start.

    Text that reads like a special token is encoded as plain text; `tokenizer` must have been opened so.
    """
    ids = tokenizer.encode(prefix, add_special_tokens=False).ids
    room = max(1, budget - len(begin_ids))
    if len(ids) > room:
        step = max(1, room // STEPS_PER_BUDGET)
        ids = ids[math.ceil((len(ids) - room) / step) * step :]
    return [*begin_ids, *ids]
