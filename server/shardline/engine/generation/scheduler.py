"""Scheduler: sequences join and leave between steps, and take turns."""

import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from shardline.engine.generation.kv_cache import read_batch
from shardline.engine.generation.kv_cache_pool import KVCaches
from shardline.engine.generation.sequence import Sequence
from shardline.engine.generation.steps import Cancelled
from shardline.engine.models import Model
from shardline.errors import GenerationError

MAX_BATCH_TOKENS = 8
"""Tokens in one pass, those of several sequences together; a sequence that wants more is in its prefill."""


class Scheduler:
    """Runs at most as many sequences at once as there may be KV caches, and no two of one document.

    Others wait: documents take turns, and of one document the newest comes first. A sequence without a document takes
    a turn of its own.
    """

    def __init__(self, model: Model[Any], caches: KVCaches[Any]) -> None:
        self._model = model
        self._caches = caches
        self._waiting: dict[object, list[Sequence]] = {}
        self._running: list[Sequence] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked for."""
        return not self._running and not self._waiting

    def is_alone(self) -> bool:
        """Return whether exactly one sequence runs."""
        return len(self._running) == 1

    def add(self, sequence: Sequence) -> None:
        """Let `sequence` run from the next step on, or as soon as there is room."""
        self._waiting.setdefault(sequence.queue, []).append(sequence)

    def step(self) -> None:
        """Schedule, run, postprocess: one decode of all that write, and one step of one prefill."""
        try:
            for batch in self._schedule():
                if logits := self._run(batch):
                    self._postprocess(batch, logits)
        except torch.OutOfMemoryError as error:
            self._end_all(error)

    def _schedule(self) -> list[list[Sequence]]:
        """Drop cancelled sequences, start those there is room for, and return the batches to run."""
        for sequence in [sequence for sequence in self._running if sequence.cancelled.is_set()]:
            self._end(sequence, Cancelled())
        while len(self._running) < self._caches.max_caches and (newcomer := self._next()):
            self._start(newcomer)
        decodes = [sequence for sequence in self._running if len(sequence.wanted.ids) <= MAX_BATCH_TOKENS]
        prefills = [sequence for sequence in self._running if len(sequence.wanted.ids) > MAX_BATCH_TOKENS]
        return [*_batches(decodes), *([sequence] for sequence in prefills[:1])]

    def _run(self, batch: list[Sequence]) -> list[Tensor]:
        """Run what `batch` wants in one pass; returns the logits of each, or ends all of them with an error."""
        logits: list[Tensor] = []
        with self._errors_of(batch):
            if len(batch) == 1:
                wanted = batch[0].wanted
                logits = [batch[0].cache.read(wanted.ids, every=wanted.every)]
            else:
                rows = read_batch(self._model, [(sequence.wanted.ids, sequence.cache) for sequence in batch])
                logits = [row if sequence.wanted.every else row[-1] for sequence, row in zip(batch, rows, strict=True)]
        return logits

    def _postprocess(self, batch: list[Sequence], logits: list[Tensor]) -> None:
        """Send each sequence its logits; those that go on go to the end of the line."""
        for sequence, row in zip(batch, logits, strict=True):
            with self._errors_of([sequence]):
                if sequence.advance(row):
                    self._running.remove(sequence)
                    self._running.append(sequence)
                else:
                    self._leave(sequence)
                    sequence.ended.set_result(None)

    def _next(self) -> Sequence | None:
        """Return the newest sequence of the document that has waited longest, of those that do not run."""
        running = {sequence.queue for sequence in self._running}
        queue = next((queue for queue in self._waiting if queue not in running), None)
        if queue is None:
            return None
        sequences = self._waiting.pop(queue)
        newest = sequences.pop()
        if sequences:
            self._waiting[queue] = sequences  # behind all others
        return newest

    def _start(self, sequence: Sequence) -> None:
        if sequence.cancelled.is_set():
            sequence.ended.set_exception(Cancelled())
            return
        try:
            ids = sequence.prompt.ids
        except Exception as error:  # noqa: BLE001  goes to the one who asked
            sequence.ended.set_exception(error)
            return
        cache, rest = self._caches.nearest(ids, sequence.document)
        self._running.append(sequence)
        with self._errors_of([sequence]):
            sequence.begin(cache, rest, self.is_alone)

    @contextmanager
    def _errors_of(self, sequences: Collection[Sequence]) -> Iterator[None]:
        """End only `sequences` with what goes wrong inside, unless memory runs out."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  goes to those who asked
            for sequence in sequences:
                self._end(sequence, error)

    def _end(self, sequence: Sequence, error: Exception) -> None:
        self._leave(sequence)
        sequence.ended.set_exception(error)

    def _leave(self, sequence: Sequence) -> None:
        self._running.remove(sequence)
        self._caches.release(sequence.cache)
        sequence.close()

    def _end_all(self, error: torch.OutOfMemoryError) -> None:
        """Free all memory, and end all that ran with the error."""
        sequences = list(self._running)
        for sequence in sequences:
            self._leave(sequence)
        sentence = out_of_memory(error, self._caches)
        for sequence in sequences:
            sequence.ended.set_exception(sentence)


def out_of_memory(error: torch.OutOfMemoryError, caches: KVCaches[Any]) -> GenerationError:
    """Free the memory of all caches; returns the error for those who asked."""
    traceback.clear_frames(error.__traceback__)  # the error outlives the tensors in its frames
    caches.clear()
    torch.cuda.empty_cache()
    sentence = GenerationError(
        "A device ran out of memory while completing. Lower model.contextTokens, or lower model.maxMemory so that "
        "more of the device stays free."
    )
    sentence.__cause__ = error
    return sentence


def _batches(sequences: list[Sequence]) -> Iterator[list[Sequence]]:
    """Yield all of `sequences`, as many together as one pass has room for."""
    batch: list[Sequence] = []
    for sequence in sequences:
        if sum(len(other.wanted.ids) for other in (*batch, sequence)) > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(sequence)
    if batch:
        yield batch
