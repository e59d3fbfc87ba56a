"""Requests that are answered together: between two steps some join and some leave, and all get their turn.

A step reads the next tokens of all that write, in as few passes as may be, and a part of the prompt of one that is new.
"""

import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import torch
from torch import Tensor

from shardline.engine.generation.kv_cache import KVCache, KVCaches, read_batch
from shardline.engine.generation.steps import Cancelled, Read, Steps
from shardline.engine.models import Model
from shardline.errors import GenerationError

FEW = 8
"""Tokens that are read in one pass, those of several texts together; more of one text are a part of its prompt."""


Begin = Callable[[KVCache[Any], Sequence[int]], Steps[Any, Any]]


class Member:
    """Work on one text, "" as `document` for one that belongs to none.

    When its turn comes `prepare` returns the prompt, and what begins the work with a KV cache and what it lacks of that.
    What it hands out goes to `tell`. `ended` is given its result or its error, `Cancelled` soon after the event is set.
    """

    cache: KVCache[Any]
    wanted: Read
    _steps: Steps[Any, Any]

    def __init__(
        self,
        document: str,
        prepare: Callable[[], tuple[Sequence[int], Begin]],
        *,
        tell: Callable[[Any], None],
        ended: Future[Any],
        cancelled: threading.Event,
    ) -> None:
        self.document = document
        self.ended = ended
        self.cancelled = cancelled
        self._prepare = prepare
        self._tell = tell

    @property
    def queue(self) -> object:
        """Whose turn it waits for: the document's, or its own."""
        return self.document or self

    def begin(self, caches: KVCaches[Any]) -> None:
        """Open the prompt and hold a cache for it."""
        ids, begin = self._prepare()
        self.cache, rest = caches.nearest(ids, self.document)
        self._steps = begin(self.cache, rest)

    def advance(self, logits: Tensor | None) -> None:
        """Begin, or take the logits that were `wanted`, and go on to where others are.

        Raises `StopIteration` with the result where it is done.
        """
        steps = self._steps
        step = next(steps) if logits is None else steps.send(logits)
        while not isinstance(step, Read):
            self._tell(step)
            step = next(steps)
        self.wanted = step

    def close(self) -> None:
        """Let go of everything that was computed."""
        self._steps.close()


class Batch:
    """At most as many members at once as there may be caches, and no two of one document.

    Others wait: documents take turns, and of one document the newest comes first. A text without one takes a turn.
    """

    def __init__(self, model: Model[Any], caches: KVCaches[Any]) -> None:
        self._model = model
        self._caches = caches
        self._waiting: dict[object, list[Member]] = {}
        self._running: list[Member] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked for."""
        return not self._running and not self._waiting

    def is_alone(self) -> bool:
        """Whether who asks is the only one that runs."""
        return len(self._running) == 1

    def join(self, member: Member) -> None:
        """Let `member` take part from the next step on, or when there is room."""
        self._waiting.setdefault(member.queue, []).append(member)

    def step(self) -> None:
        """Let those out that were cancelled and those in for whom there is room, and read what they want."""
        try:
            for member in [member for member in self._running if member.cancelled.is_set()]:
                self._end(member, Cancelled())
            while len(self._running) < self._caches.max_caches and (newcomer := self._next()):
                self._start(newcomer)
            few = [member for member in self._running if len(member.wanted.ids) <= FEW]
            many = [member for member in self._running if len(member.wanted.ids) > FEW]
            for members in _passes(few):
                self._read(members)
            if many:
                self._read(many[:1])
        except torch.OutOfMemoryError as error:
            self._end_all(error)

    def _next(self) -> Member | None:
        """The newest member of the document that has waited longest, of those that do not run."""
        running = {member.queue for member in self._running}
        queue = next((queue for queue in self._waiting if queue not in running), None)
        if queue is None:
            return None
        members = self._waiting.pop(queue)
        newest = members.pop()
        if members:
            self._waiting[queue] = members  # behind all others
        return newest

    def _start(self, member: Member) -> None:
        if member.cancelled.is_set():
            member.ended.set_exception(Cancelled())
            return
        try:
            member.begin(self._caches)
        except Exception as error:  # noqa: BLE001  told to whoever asked
            member.ended.set_exception(error)
            return
        self._running.append(member)
        self._advance(member, None)

    def _read(self, members: Sequence[Member]) -> None:
        """Read what `members` want in one pass; they go to the end of the line."""
        try:
            if len(members) == 1:
                wanted = members[0].wanted
                logits = [members[0].cache.read(wanted.ids, every=wanted.every)]
            else:
                rows = read_batch(self._model, [(member.wanted.ids, member.cache) for member in members])
                logits = [row if member.wanted.every else row[-1] for member, row in zip(members, rows, strict=True)]
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  told to whoever asked
            for member in members:
                self._end(member, error)
            return
        for member, row in zip(members, logits, strict=True):
            self._running.remove(member)
            self._running.append(member)
            self._advance(member, row)

    def _advance(self, member: Member, logits: Tensor | None) -> None:
        try:
            member.advance(logits)
        except StopIteration as end:
            self._leave(member)
            member.ended.set_result(end.value)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  told to whoever asked, and to nobody else
            self._end(member, error)

    def _end(self, member: Member, error: Exception) -> None:
        self._leave(member)
        member.ended.set_exception(error)

    def _leave(self, member: Member) -> None:
        self._running.remove(member)
        self._caches.release(member.cache)
        member.close()

    def _end_all(self, error: torch.OutOfMemoryError) -> None:
        """Free all memory, and tell all that ran."""
        members = list(self._running)
        for member in members:
            self._leave(member)
        sentence = out_of_memory(error, self._caches)
        for member in members:
            member.ended.set_exception(sentence)


def out_of_memory(error: torch.OutOfMemoryError, caches: KVCaches[Any]) -> GenerationError:
    """Free the memory of all caches; returns what is told to whoever asked."""
    traceback.clear_frames(error.__traceback__)  # whoever keeps the error would keep the tensors in them
    caches.clear()
    torch.cuda.empty_cache()
    told = GenerationError(
        "A device ran out of memory while completing. Lower model.contextTokens, or lower model.maxMemory so that "
        "more of the device stays free."
    )
    told.__cause__ = error
    return told


def _passes(members: Collection[Member]) -> Iterator[list[Member]]:
    """All of `members`, as many at a time as may be read in one pass."""
    together: list[Member] = []
    for member in members:
        if sum(len(other.wanted.ids) for other in (*together, member)) > FEW:
            yield together
            together = []
        together.append(member)
    if together:
        yield together
