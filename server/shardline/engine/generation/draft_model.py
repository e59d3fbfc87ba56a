"""A small model that guesses what a large one will choose (Leviathan et al. 2023, arXiv:2211.17192)."""

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
    """Guesses for one text at a time, in a KV cache of its own that is cut back to what the text has become.

    It guesses its likeliest tokens, of the first `vocabulary` ids. It weighs seconds, told by `clock`: guesses pay
    where the tokens they brought would have taken longer one by one.
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
        """Seconds for a token that is read with no guesses, the last time."""
        self._guessed = False

    def follow(self, ids: Sequence[int], cancelled: threading.Event) -> "Followed":
        """A `Draft` that begins with the text `ids`; guessing raises `Cancelled` soon after the event is set."""
        return Followed(self, ids, cancelled)

    def guess(self, ids: Sequence[int], cancelled: threading.Event) -> list[int]:
        """What may follow the text `ids`, nothing where guessing does not pay."""
        self._began, self._guessed = self._clock(), False
        too_long = len(ids) + GUESSES > self._context_tokens
        if self._alone is None or too_long or not self._cache.can_forget or self._patience.is_over():
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
        """Take into account that of `guessed` tokens the first `right` were right, and what all that took."""
        took = self._clock() - self._began
        if not self._guessed:
            self._alone = took
        elif guessed and self._alone is not None:
            paid = right > 0 and took < (right + 1) * self._alone
            self._patience.learn(paid=paid)


class Followed:
    """One text that a draft model follows; see `Draft`."""

    def __init__(self, model: DraftModel, ids: Sequence[int], cancelled: threading.Event) -> None:
        self._model = model
        self._ids = list(ids)
        self._cancelled = cancelled

    def add(self, token: int) -> None:
        """Take the next token of the text."""
        self._ids.append(token)

    def guess_after(self, token: int) -> list[int]:
        """Take the next token; returns those that may follow it."""
        self.add(token)
        return self._model.guess(self._ids, self._cancelled)

    def learn(self, guessed: int, right: int) -> None:
        """Take into account that of `guessed` tokens the first `right` were right, and what all that took."""
        self._model.learn(guessed, right)
