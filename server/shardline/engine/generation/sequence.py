"""One text in the scheduler, from its prompt to its last token."""

import threading
from collections import abc
from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property
from typing import Any

from torch import Tensor

from shardline.engine import Chunk, Request, window
from shardline.engine.generation.decoding import SHORT_PREFILL_STEP, decode
from shardline.engine.generation.draft_model import DraftModel
from shardline.engine.generation.healing import HealingSampler
from shardline.engine.generation.kv_cache import KVCache
from shardline.engine.generation.output import Output
from shardline.engine.generation.prompt_lookup import Draft, FirstOf, PromptLookup
from shardline.engine.generation.sampling import Sampler
from shardline.engine.generation.steps import Read, Steps
from shardline.engine.plan import PREFILL_STEP
from shardline.engine.tokenization.prompt import Prompt, build, prompt_budget
from shardline.engine.tokenization.tokenizer import Codec


class Sequence:
    """A request that waits for its turn, or the text that a model writes for it.

    `report` is given its chunks. `ended` gets None or an error, `Cancelled` soon after the event is set.
    """

    cache: KVCache[Any]
    wanted: Read
    """The tokens to run next."""
    _steps: Steps[None]

    def __init__(
        self,
        request: Request,
        codec: Codec,
        *,
        context_tokens: int,
        report: Callable[[Chunk], None],
        ended: Future[None],
        cancelled: threading.Event,
        draft_model: DraftModel | None = None,
    ) -> None:
        self.document = request.document
        self.ended = ended
        self.cancelled = cancelled
        self._request = request
        self._codec = codec
        self._context_tokens = context_tokens
        self._report = report
        self._draft_model = draft_model

    @property
    def queue(self) -> object:
        """Whose turn it waits for: its document's, or its own."""
        return self.document or self

    @cached_property
    def prompt(self) -> Prompt:
        """The prompt, built when its turn comes; raises `PromptError`."""
        budget = prompt_budget(self._context_tokens, self._request.max_tokens)
        return build(self._request, self._codec, budget=budget)

    def begin(self, cache: KVCache[Any], rest: abc.Sequence[int], is_alone: Callable[[], bool]) -> None:
        """Begin with the prefill of `rest`, one token or more, into `cache`; `is_alone` says if no others run."""
        self.cache = cache
        self._steps = self._complete(rest, is_alone)
        self.wanted = next(self._steps)

    def advance(self, logits: Tensor) -> bool:
        """Take the logits of the `wanted` tokens; returns whether more are wanted."""
        try:
            self.wanted = self._steps.send(logits)
        except StopIteration:
            return False
        return True

    def close(self) -> None:
        """Drop everything that was computed."""
        self._steps.close()

    def _complete(self, rest: abc.Sequence[int], is_alone: Callable[[], bool]) -> Steps[None]:
        max_tokens = self._context_tokens - self.prompt.budget
        cached_tokens = len(self.prompt.ids) - len(rest)
        output = Output(
            self._request,
            self.prompt,
            self._codec,
            self._report,
            cached_tokens=cached_tokens,
            max_tokens=max_tokens,
        )
        sampler = self._sampler()
        while rest:
            piece = rest[: PREFILL_STEP if is_alone() else SHORT_PREFILL_STEP]
            rest = rest[len(piece) :]
            output.prefill(len(piece))
            logits = yield Read(piece)
        yield from decode(
            self.cache, logits, sampler, self._draft, output.accept, max_tokens=max_tokens, is_alone=is_alone
        )

    def _sampler(self) -> HealingSampler:
        request = self._request
        sampler = Sampler(
            temperature=request.temperature,
            top_k=request.top_k,
            min_p=request.min_p,
            top_p=request.top_p,
            seed=request.seed,
            choice=request.choice,
        )
        return HealingSampler(sampler, self._codec.vocabulary, self.prompt.removed)

    def _draft(self) -> Draft:
        """Return the prompt lookup, and behind it the draft model if there is one."""
        if not self.cache.can_truncate:
            return PromptLookup([])
        suffix = next(window.beginnings(self._request.suffix, self.prompt.budget))
        lookup = PromptLookup([*self._codec.encode_inner(suffix), *self.prompt.ids])
        if self._draft_model is None:
            return lookup
        return FirstOf(lookup, self._draft_model.follow(self.prompt.ids, self.cancelled))
