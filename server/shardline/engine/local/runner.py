"""A model that is loaded and ready: from requests to chunks, step by step, in whichever thread calls."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import torch

from shardline.engine import Chunk, Request
from shardline.engine.generation.draft_model import DraftModel
from shardline.engine.generation.generate import SHORT_STEP, generate, prefill
from shardline.engine.generation.kv_cache import KVCache, KVCaches
from shardline.engine.generation.scheduler import Batch, Begin, Member, out_of_memory
from shardline.engine.generation.steps import Cancelled, Steps, finish
from shardline.engine.models import Model
from shardline.engine.placement import devices
from shardline.engine.plan import Plan
from shardline.engine.tokenization import prompt
from shardline.engine.tokenization.prompt import prompt_budget
from shardline.engine.tokenization.tokenizer import Codec

MAX_CACHES = 8
"""More documents than this are seldom worked on at once, and memory is left to others."""

log = logging.getLogger(__name__)


class Runner:
    """Owns the model, its codec, the draft model and the KV caches that are kept between requests."""

    def __init__(
        self,
        *,
        plan: Plan,
        model: Model[Any],
        codec: Codec,
        context_tokens: int,
        compilation: threading.Thread | None = None,
        draft_model: DraftModel | None = None,
    ) -> None:
        self.plan = plan
        self.model = model
        self.codec = codec
        self.context_tokens = context_tokens
        self.compilation = compilation
        """What is still being compiled to make the model faster."""
        self._draft_model = draft_model
        self._caches = KVCaches(model, max_caches=caches_for(plan))
        self._batch = Batch(model, self._caches)

    @property
    def infills(self) -> bool:
        """Whether the model can be shown what follows the cursor."""
        return self.codec.infilling is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked for."""
        return self._batch.is_idle

    @property
    def is_alone(self) -> bool:
        """Whether only one request is answered."""
        return self._batch.is_alone()

    def step(self) -> None:
        """Let all that is asked for come a step further."""
        self._batch.step()

    def ask(
        self, request: Request, *, tell: Callable[[Chunk], None], ended: Future[None], cancelled: threading.Event
    ) -> None:
        """Let `tell` be told the completion of `request`, step by step, until it has `ended`.

        That is also where errors go, `Cancelled` among them, soon after the event is set.
        """

        def prepare() -> tuple[Sequence[int], Begin]:
            budget = prompt_budget(self.context_tokens, request.max_tokens)
            built = prompt.build(request, self.codec, budget=budget)

            def begin(cache: KVCache[Any], rest: Sequence[int]) -> Steps[Chunk, None]:
                return generate(
                    request,
                    built,
                    rest,
                    max_tokens=self.context_tokens - budget,
                    cache=cache,
                    codec=self.codec,
                    draft=self._draft_model.follow(built.ids, cancelled) if self._draft_model else None,
                    alone=self._batch.is_alone,
                )

            return built.ids, begin

        self._batch.join(Member(request.document, prepare, tell=tell, ended=ended, cancelled=cancelled))

    def complete(self, request: Request, cancelled: threading.Event) -> Iterator[Chunk]:
        """Stream the completion of `request`; ends early, without a finish reason, once `cancelled` is set."""
        told: deque[Chunk] = deque()
        ended: Future[None] = Future()
        self.ask(request, tell=told.append, ended=ended, cancelled=cancelled)
        try:
            while not ended.done():
                self.step()
                while told and not cancelled.is_set():
                    yield told.popleft()
            ended.result()
        except Cancelled:
            log.debug("cancelled")
        finally:
            cancelled.set()  # where nobody wants the rest

    def warm(self, request: Request, ended: threading.Event) -> None:
        """Read the prompt of `request` as far as it is not known, until `ended` is set; see `Engine.warm`."""
        if ended.is_set():
            return
        budget = prompt_budget(self.context_tokens, request.max_tokens)
        ids = prompt.known_ahead(request, self.codec, budget=budget)
        cache = self._caches.to_warm(ids, request.document) if ids else None
        if cache is None or cache.ids[: len(ids)] == ids:
            return
        try:
            finish(prefill(cache.reuse(ids), step=SHORT_STEP), cache, ended)
        except Cancelled:
            log.debug("warming ended early")
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error, self._caches) from error

    def prepare(self) -> None:
        """Make the next answer for the document that was used last faster, at a time when nobody waits."""
        self._caches.prepare()

    def forget(self, document: str) -> None:
        """Free what is kept for a document that was closed."""
        self._caches.forget(document)

    def close(self) -> None:
        """Give the memory back to the devices; nothing can be asked after that."""
        del self.model, self._draft_model, self._caches, self._batch
        devices.give_back()


def caches_for(plan: Plan) -> int:
    """How many documents can have a KV cache: one is planned for, others take what the devices have left."""
    rooms = [
        (share.limit - share.used) // share.kv_cache
        for share in plan.devices
        if share.limit is not None and share.kv_cache
    ]
    return 1 + max(0, min([*rooms, MAX_CACHES - 1]))
