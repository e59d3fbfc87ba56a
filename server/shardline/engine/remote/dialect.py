"""Protocol for what differs between kinds of servers: requests and answers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shardline.engine import FinishReason, Request

OTHERS_TEMPERATURE = 0.8
"""Minimum temperature for further candidates; no server lets us pick its second likeliest token."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request as a server takes it.

    `prompt_tokens` is 0 if only the server knows. The answer has to begin with `removed`, which is cut off.
    """

    path: str
    body: Mapping[str, Any]
    prompt_tokens: int = 0
    removed: str = ""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One message of a stream: its text, tokens and log-probability; None for what it does not report."""

    text: str = ""
    tokens: int = 0
    logprob: float = 0.0
    finish_reason: FinishReason | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None


class Dialect(Protocol):
    """The API of one kind of server."""

    @property
    def infills(self) -> bool:
        """Whether the model supports infilling."""

    def question(self, request: Request) -> Question:
        """Return the question for a streamed completion of `request`."""

    def reading(self, request: Request) -> Question | None:
        """Return the question that prefills the prompt of `request` ahead; None if that is useless or costs money."""

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """Parse a message of the stream; raises one of `MALFORMED` if it is malformed."""

    def learn(self, request: Request) -> bool:
        """Adapt to the server's refusal of `request`; returns whether later questions will differ."""


def sampling(request: Request) -> dict[str, Any]:
    """Return the sampling fields in OpenAI's names."""
    seed = request.seed
    temperature = request.temperature
    if request.choice:
        seed, temperature = (seed or 0) + request.choice, max(temperature, OTHERS_TEMPERATURE)
    fields: dict[str, Any] = {"temperature": temperature, "top_p": request.top_p}
    return fields if seed is None else {**fields, "seed": seed}


def text_of(value: Any) -> str:
    """Return a text that a server sent with lone surrogates replaced; raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def count_of(value: Any) -> int | None:
    """Return a token count, or None if the server sent none."""
    return value if type(value) is int and 0 <= value < 2**31 else None


def logprob_of(value: Any) -> float:
    """Return a log-probability; 0 if the server sent none."""
    number = float(value) if isinstance(value, int | float) else 0.0
    return min(0.0, number) if math.isfinite(number) else 0.0
