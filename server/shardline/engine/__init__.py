"""Contract between suggestions and models: text in, streamed text out.

Tensors never cross this border, and token ids only in `Request.prompt_ids`, for whoever has a prompt in them already.
It imports none of its implementations, only the plan and the values of settings.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Protocol

from shardline.engine.plan import Plan
from shardline.errors import ShardlineError
from shardline.setting_values import InfillingFormat


class FinishReason(StrEnum):
    """Why a stream ended, in OpenAI's words."""

    STOP = "stop"
    """A stop sequence, or the model's own end token."""
    LENGTH = "length"
    """`Request.max_tokens`, or the end of the context."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Text to complete, and the options.

    `document` names the text that `prefix` comes from, so that an engine can keep one KV cache for it. Requests of one
    document are answered one at a time. "" is no document: the request takes the nearest free KV cache, the one that
    shares the longest prefix with its prompt, and waits for no other.
    `infilling` is how the suffix is shown to the model: auto, psm, spm or off. With `healing`, a prefix that ends
    inside a token is cut back and written again by the model. `temperature` 0 is greedy; `top_k` 0, `top_p` 1
    and `min_p` 0 leave all tokens in. `choice` 0 begins as that says, 1 with the second likeliest token, 2 with the
    third: other candidates for the same place. `prompt_ids` are exactly the tokens to continue, and then `prefix` and
    `suffix` are not looked at. With `logprobs` each token is reported, with as many of the likeliest in its place.
    """

    document: str
    prefix: str
    suffix: str = ""
    infilling: InfillingFormat = "auto"
    healing: bool = True
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    choice: int = 0
    prompt_ids: tuple[int, ...] = ()
    logprobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Cost of one request: tokens, and seconds since the engine began with it."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    time_to_first_token: float
    total_time: float

    @property
    def tokens_per_second(self) -> float | None:
        """The speed of decode alone: tokens after the first, over the time after the first, if there were any."""
        decoding = self.total_time - self.time_to_first_token
        return (self.completion_tokens - 1) / decoding if self.completion_tokens > 1 and decoding > 0 else None

    def as_json(self) -> dict[str, float | None]:
        """All of it by name, with the tokens per second."""
        return {**asdict(self), "tokens_per_second": self.tokens_per_second}


@dataclass(frozen=True)
class Token:
    """A token that was chosen, with the logarithm of its probability, and `top`, the likeliest in its place."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A piece of a stream, and of the whole stream so far: what it has cost, and how probable its tokens were.

    `logprob` is the sum of the logarithms of the tokens' probabilities. `tokens` are those chosen since the chunk
    before, where `Request.logprobs` asks for them. Only the last chunk has a finish reason.
    """

    text: str
    usage: Usage
    logprob: float = 0.0
    tokens: tuple[Token, ...] = ()
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of loading: `done` of `total` in `unit` (bytes, layers, weights or parameters)."""

    activity: str
    done: int = 0
    total: int = 0
    unit: str = ""


NOTHING_SPENT = Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=0, time_to_first_token=0.0, total_time=0.0)
"""Usage of an answer that needed no model."""

Report = Callable[[Progress], None]
"""Told about progress while an engine loads; may be called from any thread."""


class Engine(Protocol):
    """A model that completes text.

    `complete` may be called at any time after `load` has returned. Cancelling the task that iterates ends the
    work behind it within one step; there is no other way to cancel.
    """

    async def load(self, report: Report, *, beside: "Engine | None" = None) -> None:
        """Make ready to complete; raises `EngineError` with the reason where that fails.

        `beside` is an engine that goes on answering until this one is ready. Where the devices have no room for both
        `NoRoomError` is raised before any weight is read; once the other is closed, this may be called again.
        """

    async def wait_lost(self) -> ShardlineError:
        """Wait until it is lost without having been closed, and return why.

        Where that is a `AwayError`, it may be loaded again.
        """

    def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream what follows `request.prefix`; raises `EngineError`."""

    async def warm(self, request: Request) -> None:
        """Read the prompt of `request` into the KV cache of its document, so that `complete` finds it there.

        Where nothing stands before the cursor, as in a document just opened, the beginning of the suffix is read as
        the prefix it will become. It gives way: it ends early when anything else is asked, or another document is to
        be warmed, and takes no memory from a document that was completed. Raises `EngineError`.
        """

    def forget(self, document: str) -> None:
        """Free what is kept for a document that was closed."""

    @property
    def infills(self) -> bool:
        """Whether the model can be shown what follows the cursor; False until it is loaded."""

    @property
    def placement(self) -> Plan | None:
        """The plan by which the model was placed; None until it is loaded, and for a remote model."""

    def close(self) -> None:
        """End all work and free the memory as soon as the current step is done; does not wait for that."""

    async def wait_closed(self) -> None:
        """Wait until a closed engine has freed its memory."""


async def never_lost() -> ShardlineError:
    """Wait for ever: `Engine.wait_lost` of an engine that cannot be lost."""
    never: asyncio.Future[ShardlineError] = asyncio.get_running_loop().create_future()
    return await never
