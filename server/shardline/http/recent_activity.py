"""The last two minutes, second by second: what was generated, how soon it came, and what needed no reading again."""

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
    """What was done within one second: tokens, and requests that ended with what they have cost."""

    tokens: int = 0
    ended: list[Usage] = field(default_factory=list)


class History:
    """Remembers the last `SECONDS`; `now` is a clock that only goes forward, in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._newest = int(now())
        self._seconds = deque([Second() for _ in range(SECONDS)], maxlen=SECONDS)

    def generated(self, tokens: int) -> None:
        """So many tokens were generated just now."""
        self._current().tokens += tokens

    def ended(self, usage: Usage) -> None:
        """A request ended just now."""
        self._current().ended.append(usage)

    def as_json(self) -> dict[str, list[Any]]:
        """A list of numbers for each thing, the oldest second first; null where there is nothing to tell."""
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
