"""Generation as a coroutine: yields tokens to run, is sent their logits."""

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from shardline.engine.generation.kv_cache import KVCache

Result = TypeVar("Result")


@dataclass(frozen=True)
class Read:
    """Tokens to run next; the coroutine is sent their logits, as `Model.forward` returns them."""

    ids: Sequence[int]
    every: bool = False


Steps = Generator[Read, Tensor, Result]


class Cancelled(Exception):  # noqa: N818  not an error: nobody waits for the answer any more
    """The work was cancelled between two steps; the cache keeps all tokens that were run."""


def run(steps: Steps[Result], cache: KVCache[Any], cancelled: threading.Event) -> Result:
    """Run `steps` alone to the end and return their result; raises `Cancelled` soon after the event is set."""
    try:
        step = next(steps)
        while not cancelled.is_set():
            step = steps.send(cache.read(step.ids, every=step.every))
    except StopIteration as end:
        result: Result = end.value
        return result
    raise Cancelled
