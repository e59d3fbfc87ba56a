"""A draft model for speculative decoding (Leviathan et al. 2023, arXiv:2211.17192)."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from shardline.engine.generation.decoding import prefill
from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.prompt_lookup import GUESSES, Patience
from shardline.engine.generation.steps import run
from shardline.engine.models import Model


class DraftModel:
    """A small model that drafts greedily, for one text at a time, with a KV cache of its own.

    It guesses only the first `vocabulary` ids. It measures seconds by `clock`: a draft pays if its right tokens would
    have taken longer one by one.
    """

    def __init__(
        self,
        model: Model[Any],
        *,
        vocabulary: int,
        context_tokens: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._cache = KVCache(model)
        self._vocabulary = vocabulary
        self._context_tokens = context_tokens
        self._clock = clock
        self._patience = Patience()
        self._began = 0.0
        self._alone: float | None = None
        """Seconds that the last token without a draft took."""
        self._guessed = False

    def follow(self, ids: Sequence[int], cancelled: threading.Event) -> "Followed":
        """Return a `Draft` that begins with the text `ids`; it raises `Cancelled` soon after the event is set."""
        return Followed(self, ids, cancelled)

    def guess(self, ids: Sequence[int], cancelled: threading.Event) -> list[int]:
        """Return tokens that may follow the text `ids`, none while drafts do not pay."""
        self._began, self._guessed = self._clock(), False
        too_long = len(ids) + GUESSES > self._context_tokens
        if self._alone is None or too_long or not self._cache.can_truncate or self._patience.is_over():
            return []
        rest = self._cache.reuse(ids)
        if max(rest) >= self._vocabulary:
            return []
        self._guessed = True
        guesses: list[int] = []
        while len(guesses) < GUESSES:
            logits = run(prefill(guesses[-1:] or rest), self._cache, cancelled)
            guesses.append(int(logits[: self._vocabulary].argmax()))
        return guesses

    def learn(self, guessed: int, right: int) -> None:
        """Learn that of `guessed` tokens the first `right` were right, and how long it all took."""
        took = self._clock() - self._began
        if not self._guessed:
            self._alone = took
        elif guessed and self._alone is not None:
            paid = right > 0 and took < (right + 1) * self._alone
            self._patience.learn(paid=paid)


class Followed:
    """A `Draft` for one text by a draft model."""

    def __init__(self, model: DraftModel, ids: Sequence[int], cancelled: threading.Event) -> None:
        self._model = model
        self._ids = list(ids)
        self._cancelled = cancelled

    def add(self, token: int) -> None:
        """Append the next token of the text."""
        self._ids.append(token)

    def guess_after(self, token: int) -> list[int]:
        """Append the next token; return those that may follow it."""
        self.add(token)
        return self._model.guess(self._ids, self._cancelled)

    def learn(self, guessed: int, right: int) -> None:
        """Learn that of `guessed` tokens the first `right` were right."""
        self._model.learn(guessed, right)
