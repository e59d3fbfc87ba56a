"""A loaded model that turns requests into chunks, one step per call."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import torch

from shardline.engine import Chunk, Request
from shardline.engine.generation.decoding import SHORT_PREFILL_STEP, prefill
from shardline.engine.generation.draft_model import DraftModel
from shardline.engine.generation.kv_cache_pool import KVCaches
from shardline.engine.generation.scheduler import Scheduler, out_of_memory
from shardline.engine.generation.sequence import Sequence
from shardline.engine.generation.steps import Cancelled, run
from shardline.engine.models import Model
from shardline.engine.placement import devices
from shardline.engine.plan import Plan
from shardline.engine.tokenization import prompt
from shardline.engine.tokenization.prompt import prompt_budget
from shardline.engine.tokenization.tokenizer import Codec

MAX_CACHES = 8
"""People seldom work on more documents at once, and other programs need memory too."""

log = logging.getLogger(__name__)


class Runner:
    """The owner of a model, its codec, its draft model and the KV caches; used from one thread."""

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
        """The thread that still compiles the decode step, if one does."""
        self._draft_model = draft_model
        self._caches = KVCaches(model, max_caches=caches_for(plan))
        self._scheduler = Scheduler(model, self._caches)

    @property
    def infills(self) -> bool:
        """Whether the model is made for infilling."""
        return self.codec.infilling is not None

    @property
    def is_idle(self) -> bool:
        """Whether no request runs or waits."""
        return self._scheduler.is_idle

    @property
    def is_alone(self) -> bool:
        """Whether exactly one request runs."""
        return self._scheduler.is_alone()

    def step(self) -> None:
        """Run one step of the scheduler."""
        self._scheduler.step()

    def ask(
        self, request: Request, *, report: Callable[[Chunk], None], ended: Future[None], cancelled: threading.Event
    ) -> None:
        """Queue `request`: `report` is given its chunks, and `ended` None or an error.

        The error is `Cancelled` soon after the event is set.
        """
        self._scheduler.add(
            Sequence(
                request,
                self.codec,
                context_tokens=self.context_tokens,
                report=report,
                ended=ended,
                cancelled=cancelled,
                draft_model=self._draft_model,
            )
        )

    def complete(self, request: Request, cancelled: threading.Event) -> Iterator[Chunk]:
        """Stream the completion of `request`; end early, without a finish reason, once `cancelled` is set."""
        chunks: deque[Chunk] = deque()
        ended: Future[None] = Future()
        self.ask(request, report=chunks.append, ended=ended, cancelled=cancelled)
        try:
            while not ended.done():
                self.step()
                while chunks and not cancelled.is_set():
                    yield chunks.popleft()
            ended.result()
        except Cancelled:
            log.debug("cancelled")
        finally:
            cancelled.set()  # the caller may have closed this generator

    def warm(self, request: Request, ended: threading.Event) -> None:
        """Prefill the prompt of `request` until `ended` is set; see `Engine.warm`."""
        if ended.is_set():
            return
        budget = prompt_budget(self.context_tokens, request.max_tokens)
        ids = prompt.known_ahead(request, self.codec, budget=budget)
        cache = self._caches.to_warm(ids, request.document) if ids else None
        if cache is None or cache.ids[: len(ids)] == ids:
            return
        try:
            run(prefill(cache.reuse(ids), step=SHORT_PREFILL_STEP), cache, ended)
        except Cancelled:
            log.debug("warming ended early")
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error, self._caches) from error

    def prepare(self) -> None:
        """Speed up the next answer for the document used last, while nobody waits."""
        self._caches.prepare()

    def forget(self, document: str) -> None:
        """Free the KV cache of a closed document."""
        self._caches.forget(document)

    def close(self) -> None:
        """Give the memory back to the devices; the runner is of no use after that."""
        del self.model, self._draft_model, self._caches, self._scheduler
        devices.give_back()


def caches_for(plan: Plan) -> int:
    """Return how many KV caches fit: the plan counts one, and the devices' free memory may hold more."""
    rooms = [
        (share.limit - share.used) // share.kv_cache
        for share in plan.devices
        if share.limit is not None and share.kv_cache
    ]
    return 1 + max(0, min([*rooms, MAX_CACHES - 1]))
