"""History of the last two minutes: tokens, latency and KV cache reuse."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from shardline.engine import Usage

SECONDS = 120


@dataclass
class Second:
    """One second: the generated tokens, and the usage of the requests that ended."""

    tokens: int = 0
    ended: list[Usage] = field(default_factory=list)


class History:
    """The last `SECONDS`; `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._newest = int(now())
        self._seconds = deque([Second() for _ in range(SECONDS)], maxlen=SECONDS)

    def generated(self, tokens: int) -> None:
        """Record tokens generated just now."""
        self._current().tokens += tokens

    def ended(self, usage: Usage) -> None:
        """Record a request that ended just now."""
        self._current().ended.append(usage)

    def as_json(self) -> dict[str, list[Any]]:
        """Return a list of numbers for each metric, oldest second first, null if there is none."""
        self._current()
        return {
            "tokens": [second.tokens for second in self._seconds],
            "requests": [len(second.ended) for second in self._seconds],
            "first_token_ms": [_first_token_ms(second.ended) for second in self._seconds],
            "reused": [_reused(second.ended) for second in self._seconds],
        }

    def _current(self) -> Second:
        now = int(self._now())
        self._seconds.extend(Second() for _ in range(min(SECONDS, now - self._newest)))
        self._newest = now
        return self._seconds[-1]


def _first_token_ms(ended: list[Usage]) -> float | None:
    return 1000 * median(usage.time_to_first_token for usage in ended) if ended else None


def _reused(ended: list[Usage]) -> float | None:
    prompts = sum(usage.prompt_tokens for usage in ended)
    return sum(usage.cached_tokens for usage in ended) / prompts if prompts else None
