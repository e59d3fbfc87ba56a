"""Bodies of OpenAI's completions, checked and turned into engine requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shardline.engine import Request
from shardline.engine.window import crop
from shardline.http.api.body import field, texts
from shardline.http.error_responses import RequestError

Prompt = str | tuple[int, ...]

MAX_STOPS = 32
"""More than OpenAI allows: editor plugins list every special token of their model."""

MAX_CHOICES = 128
"""Completions of one request over all its prompts."""

MAX_ECHOED = 1 << 20
"""Characters of echoed prompts in one answer."""

MAX_LOGPROBS = 1 << 18
"""Log-probabilities in one answer, of chosen and likely tokens."""

SEEDS = {"minimum": -(2**63), "maximum": 2**63 - 1}


@dataclass(frozen=True, kw_only=True)
class Body:
    """The fields of the API and its extensions.

    Those after `user` are not supported and accepted only with neutral values. A model without infilling ignores the
    suffix. With a suffix the prompt ends at a cursor, and a half-typed word is healed.
    """

    model: str = field("")
    prompt: Any = field("")
    suffix: str = field("")
    max_tokens: int = field(16, minimum=1)
    temperature: float = field(1.0, minimum=0, maximum=2)
    top_p: float = field(1.0, minimum=0, maximum=1)
    top_k: int = field(0, minimum=-1)
    min_p: float = field(0.0, minimum=0, maximum=1)
    n: int = field(1, minimum=1, maximum=MAX_CHOICES)
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
    """Return a request for each choice, those of the first prompt first; raises `RequestError`."""
    _check_support(asked)
    _check_together(asked, prompts)
    _check_size(asked, prompts, context_tokens)
    stop = texts(asked.stop, "stop", max_texts=MAX_STOPS)
    requests = [
        Request(
            document="",
            prefix=prompt if isinstance(prompt, str) else "",
            prompt_ids=() if isinstance(prompt, str) else prompt,
            suffix=asked.suffix,
            healing=bool(asked.suffix) and asked.logprobs is None,  # reported tokens must all follow the prompt
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=max(0, asked.top_k),
            min_p=asked.min_p,
            seed=None if asked.seed is None else _nth_seed(asked.seed, index),
            stop=stop,
            logprobs=asked.logprobs,
        )
        for prompt in prompts
        for index in range(asked.n)
    ]
    return [crop(request, context_tokens) for request in requests]


def _nth_seed(seed: int, index: int) -> int:
    """Return the seed of one choice: choices differ, but repeat when the request is sent again."""
    return (seed + index) % 2**63


def prompts_of(value: Any, context_tokens: int) -> list[Prompt]:
    """Return the prompts in a text, token ids, or a list of either; raises `RequestError`."""
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
    """Raise `RequestError` for a use of OpenAI's fields that this server does not support."""
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
    """Raise `RequestError` if fields contradict each other."""
    as_text = all(isinstance(prompt, str) for prompt in prompts)
    if asked.suffix and not as_text:
        raise RequestError("With a suffix, prompt must be a text.", param="suffix")
    if asked.echo and not (as_text and asked.logprobs is None):
        raise RequestError("echo is supported for prompts as text, without logprobs.", param="echo")
    if len(prompts) * asked.n > MAX_CHOICES:
        raise RequestError(f"Over all prompts, at most {MAX_CHOICES} completions may be asked for.", param="n")
    if asked.stream_options is not None:
        if not asked.stream:
            raise RequestError("stream_options is only allowed if stream is true.", param="stream_options")
        options = asked.stream_options
        known = isinstance(options, dict) and options.keys() <= {"include_usage", "include_obfuscation"}
        if not known or not all(isinstance(value, bool) for value in options.values()):
            raise RequestError("stream_options may have include_usage, true or false.", param="stream_options")


def _check_size(asked: Body, prompts: Sequence[Prompt], context_tokens: int) -> None:
    """Raise `RequestError` if the answer would be far longer than the body."""
    if asked.echo and asked.n * sum(map(len, prompts)) > MAX_ECHOED:
        message = f"With echo, all prompts together may have at most {MAX_ECHOED:,} characters, n times over."
        raise RequestError(message, param="echo")
    count = len(prompts) * asked.n * min(asked.max_tokens, context_tokens) * (1 + (asked.logprobs or 0))
    if asked.logprobs is not None and count > MAX_LOGPROBS:
        message = f"With these max_tokens and n, logprobs would report {count:,} tokens; the limit is {MAX_LOGPROBS:,}."
        raise RequestError(message, param="logprobs")
