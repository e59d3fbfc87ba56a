"""What OpenAI's completions may be asked for, and what the engine is asked then."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shardline.engine import Request
from shardline.engine.window import crop
from shardline.http.api.body import field, texts
from shardline.http.error_responses import RequestError

Prompt = str | tuple[int, ...]

MOST_STOPS = 32
"""More than OpenAI takes: templates of editors' plugins name every signal of their model."""

MOST_CHOICES = 128
"""A request may ask for so many, over all of its prompts."""

MAX_ECHOED = 1 << 20
"""Characters of prompts in one answer."""

MAX_TOLD = 1 << 18
"""Tokens that one answer tells of by logprobs, chosen and likely ones."""

SEEDS = {"minimum": -(2**63), "maximum": 2**63 - 1}


@dataclass(frozen=True, kw_only=True)
class Body:
    """The fields that the API and its extensions know.

    Those behind `user` are not supported, but may say that they are not used. A model that cannot infill completes
    the prompt without the suffix. With a suffix the prompt ends at a cursor, and a half-typed word is written again.
    """

    model: str = field("")
    prompt: Any = field("")
    suffix: str = field("")
    max_tokens: int = field(16, minimum=1)
    temperature: float = field(1.0, minimum=0, maximum=2)
    top_p: float = field(1.0, minimum=0, maximum=1)
    top_k: int = field(0, minimum=-1)
    min_p: float = field(0.0, minimum=0, maximum=1)
    n: int = field(1, minimum=1, maximum=MOST_CHOICES)
    seed: int | None = field(None, **SEEDS)
    stop: Any = field(None)
    logprobs: int | None = field(None, minimum=0, maximum=5)
    stream: bool = field(False)
    stream_options: Any = field(None)
    echo: bool = field(False)
    user: str = field("")
    best_of: int = field(1)
    presence_penalty: float = field(0.0)
    frequency_penalty: float = field(0.0)
    logit_bias: Any = field(None)


def requests_of(asked: Body, prompts: Sequence[Prompt], context_tokens: int) -> list[Request]:
    """A request to the engine for each choice, those of the first prompt first; raises `RequestError`."""
    _check_support(asked)
    _check_together(asked, prompts)
    _check_size(asked, prompts, context_tokens)
    stop = texts(asked.stop, "stop", most=MOST_STOPS)
    wanted = [
        Request(
            document="",
            prefix=prompt if isinstance(prompt, str) else "",
            prompt_ids=() if isinstance(prompt, str) else prompt,
            suffix=asked.suffix,
            healing=bool(asked.suffix) and asked.logprobs is None,  # the tokens told of are those behind the prompt
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=max(0, asked.top_k),
            min_p=asked.min_p,
            seed=None if asked.seed is None else _nth_seed(asked.seed, number),
            stop=stop,
            logprobs=asked.logprobs,
        )
        for prompt in prompts
        for number in range(asked.n)
    ]
    return [crop(request, context_tokens) for request in wanted]


def _nth_seed(seed: int, number: int) -> int:
    """Choices of one request differ, and are the same when it is sent again."""
    return (seed + number) % 2**63


def prompts_of(value: Any, context_tokens: int) -> list[Prompt]:
    """A text, token ids, or a list of either; raises `RequestError`."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(one, str) for one in value):
            return value
        several = [value] if type(value[0]) is int else value
        if all(isinstance(one, list) and _are_ids(one) for one in several):
            longest = max(map(len, several))
            if longest > context_tokens:
                message = f"The prompt has {longest} tokens, and the context only {context_tokens}."
                raise RequestError(message, param="prompt")
            return [tuple(one) for one in several]
    raise RequestError("prompt must be a text, a list of token ids, or a list of either, not empty.", param="prompt")


def _are_ids(value: list[Any]) -> bool:
    return set(map(type, value)) == {int} and min(value) >= 0 and max(value) < 2**31


def _check_support(asked: Body) -> None:
    """Raise `RequestError` where something is asked for that the API has and this server has not."""
    unsupported = {
        "best_of": asked.best_of not in (1, asked.n),
        "presence_penalty": asked.presence_penalty != 0,
        "frequency_penalty": asked.frequency_penalty != 0,
        "logit_bias": asked.logit_bias not in (None, {}),
    }
    for name, is_used in unsupported.items():
        if is_used:
            raise RequestError(f"{name} is not supported; leave it out.", param=name)


def _check_together(asked: Body, prompts: Sequence[Prompt]) -> None:
    """Raise `RequestError` where one field is at odds with another, or with the model."""
    as_text = all(isinstance(prompt, str) for prompt in prompts)
    if asked.suffix and not as_text:
        raise RequestError("With a suffix, prompt must be a text.", param="suffix")
    if asked.echo and not (as_text and asked.logprobs is None):
        raise RequestError("echo is supported for prompts as text, without logprobs.", param="echo")
    if len(prompts) * asked.n > MOST_CHOICES:
        raise RequestError(f"Over all prompts, at most {MOST_CHOICES} completions may be asked for.", param="n")
    if asked.stream_options is not None:
        if not asked.stream:
            raise RequestError("stream_options is only allowed where stream is true.", param="stream_options")
        options = asked.stream_options
        known = isinstance(options, dict) and options.keys() <= {"include_usage", "include_obfuscation"}
        if not known or not all(isinstance(value, bool) for value in options.values()):
            raise RequestError("stream_options may have include_usage, true or false.", param="stream_options")


def _check_size(asked: Body, prompts: Sequence[Prompt], context_tokens: int) -> None:
    """Raise `RequestError` where the answer would be far longer than the body."""
    if asked.echo and asked.n * sum(map(len, prompts)) > MAX_ECHOED:
        message = f"With echo, all prompts together may have at most {MAX_ECHOED:,} characters, n times over."
        raise RequestError(message, param="echo")
    told = len(prompts) * asked.n * min(asked.max_tokens, context_tokens) * (1 + (asked.logprobs or 0))
    if asked.logprobs is not None and told > MAX_TOLD:
        message = f"With these max_tokens and n, logprobs would tell of {told:,} tokens; the limit is {MAX_TOLD:,}."
        raise RequestError(message, param="logprobs")
