"""What differs from one kind of server to the next: how it is asked, and what a piece of its answer says."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shardline.engine import FinishReason, Request

OTHERS_TEMPERATURE = 0.8
"""How freely other candidates are sampled: a server does not let us choose its second likeliest token."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request as a server takes it.

    `prompt_tokens` is 0 where only the server knows. The answer has to begin with `removed`, which is not part of it.
    """

    path: str
    body: Mapping[str, Any]
    prompt_tokens: int = 0
    removed: str = ""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What one message of a stream adds: text, tokens and their log-probability; None for what it does not tell."""

    text: str = ""
    tokens: int = 0
    logprob: float = 0.0
    finish_reason: FinishReason | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None


class Dialect(Protocol):
    """How one server is spoken to."""

    @property
    def infills(self) -> bool:
        """Whether it can be shown what follows the cursor."""

    def question(self, request: Request) -> Question:
        """How to ask for the completion of `request`, as a stream."""

    def reading(self, request: Request) -> Question | None:
        """How to let it read the prompt of `request` ahead; None where that would not help, or costs money."""

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """What a message of the stream says; raises `ValueError` and its like where it is none."""

    def learn(self, request: Request) -> bool:
        """It has refused `request` as none that it knows: whether it will be asked in another way from now on."""


def wishes(request: Request) -> dict[str, Any]:
    """How tokens are to be chosen, in OpenAI's words."""
    seed = request.seed
    temperature = request.temperature
    if request.choice:
        seed, temperature = (seed or 0) + request.choice, max(temperature, OTHERS_TEMPERATURE)
    chosen: dict[str, Any] = {"temperature": temperature, "top_p": request.top_p}
    return chosen if seed is None else {**chosen, "seed": seed}


def text_of(value: Any) -> str:
    """A text that a server has sent, without what no editor takes; raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def count_of(value: Any) -> int | None:
    """A number of tokens, where the server has told one."""
    return value if type(value) is int and 0 <= value < 2**31 else None


def logprob_of(value: Any) -> float:
    """The logarithm of a probability; 0 where the server has told none."""
    number = float(value) if isinstance(value, int | float) else 0.0
    return min(0.0, number) if math.isfinite(number) else 0.0
