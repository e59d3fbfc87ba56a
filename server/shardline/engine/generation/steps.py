"""Work on one text in steps: it says which tokens it wants read next, and whoever runs it reads them."""

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Never, TypeVar

from torch import Tensor

from shardline.engine.generation.kv_cache import KVCache

Out = TypeVar("Out")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Read:
    """Tokens to be read next; the work is sent their logits, as `Model.forward` returns them."""

    ids: Sequence[int]
    every: bool = False


Steps = Generator[Read | Out, Tensor, Result]
"""Work that is sent logits for each `Read`, hands out what it yields beside, and returns its result."""


class Cancelled(Exception):  # noqa: N818  not an error: nobody waits for the answer any more
    """The work was cancelled between two steps; what was read until then stays in the cache."""


def run(steps: Steps[Out, Result], cache: KVCache[Any], cancelled: threading.Event) -> Generator[Out, None, Result]:
    """Read whatever is wanted and hand on all else, to the end; raises `Cancelled` soon after the event is set."""
    try:
        step = next(steps)
        while True:
            if not isinstance(step, Read):
                yield step
                step = next(steps)
            elif cancelled.is_set():
                raise Cancelled
            else:
                step = steps.send(cache.read(step.ids, every=step.every))
    except StopIteration as end:
        result: Result = end.value
        return result


def finish(steps: Steps[Never, Result], cache: KVCache[Any], cancelled: threading.Event) -> Result:
    """Run work that hands nothing out; returns its result."""
    running: Generator[Never, None, Result] = run(steps, cache, cancelled)
    while True:
        try:
            next(running)
        except StopIteration as end:
            result: Result = end.value
            return result
