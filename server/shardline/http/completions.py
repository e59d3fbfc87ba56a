"""OpenAI's completions: https://platform.openai.com/docs/api-reference/completions."""

import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shardline.engine import Chunk, Engine, Request, Token, Usage
from shardline.http import events
from shardline.http.choices import complete_all
from shardline.http.fields import body_of, field, read, refuse_unknown, texts
from shardline.http.refusals import RequestError
from shardline.http.slots import Slots
from shardline.settings import ModelSettings

MOST_STOPS = 4
MOST_CHOICES = 128
"""A request may ask for so many, over all of its prompts."""

SEEDS = {"minimum": -(2**63), "maximum": 2**63 - 1}


@dataclass(frozen=True, kw_only=True)
class Body:
    """The fields that the API knows. Those behind `user` are not supported, but may say that they are not used."""

    model: str = field("")
    prompt: Any = field("")
    suffix: str = field("")
    max_tokens: int = field(16, minimum=1)
    temperature: float = field(1.0, minimum=0, maximum=2)
    top_p: float = field(1.0, minimum=0, maximum=1)
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


def routes(engine: Engine, settings: ModelSettings, slots: Slots) -> list[Route]:
    """`/v1/completions` and `/v1/models` for an engine with the model of these settings."""
    created, model = int(time.time()), settings.name

    def card() -> dict[str, Any]:
        meta = {"n_ctx": settings.context_tokens, "infills": engine.infills}
        return {"id": model, "object": "model", "created": created, "owned_by": "shardline", "meta": meta}

    async def models(_: HttpRequest) -> Response:
        return JSONResponse({"object": "list", "data": [card()]})

    async def one_model(request: HttpRequest) -> Response:
        _check_model(request.path_params["model"], model)
        return JSONResponse(card())

    async def completions(request: HttpRequest) -> Response:
        body = await body_of(request)
        refuse_unknown(Body, body)
        asked = read(Body, body)
        _check_model(asked.model, model)
        answer = _Answer(asked, model, _requests(asked, engine))
        chunks = complete_all(engine, slots, answer.requests)
        return await events.answer(answer.stream(chunks)) if asked.stream else JSONResponse(await answer.whole(chunks))

    return [
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{model:path}", one_model),
    ]


def _check_model(asked: str, served: str) -> None:
    if not asked:
        raise RequestError("you must provide a model parameter", param="model")
    if asked != served:
        message = f"The model '{asked}' does not exist; this server has '{served}'."
        raise RequestError(message, status=404, param="model", code="model_not_found")


def _requests(asked: Body, engine: Engine) -> list[Request]:
    """A request to the engine for each choice, those of the first prompt first; raises `RequestError`."""
    prompts = _prompts(asked.prompt)
    _check_support(asked)
    _check_together(asked, prompts, infills=engine.infills)
    stop = texts(asked.stop, "stop", most=MOST_STOPS)
    return [
        Request(
            document="",
            prefix=prompt if isinstance(prompt, str) else "",
            prompt_ids=() if isinstance(prompt, str) else prompt,
            suffix=asked.suffix,
            healing=False,
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            seed=None if asked.seed is None else _nth_seed(asked.seed, number),
            stop=stop,
            logprobs=asked.logprobs,
        )
        for prompt in prompts
        for number in range(asked.n)
    ]


def _nth_seed(seed: int, number: int) -> int:
    """Choices of one request differ, and are the same when it is sent again."""
    return (seed + number) % 2**63


def _prompts(value: Any) -> list[str | tuple[int, ...]]:
    """A text, token ids, or a list of either; raises `RequestError`."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(one, str) for one in value):
            return value
        if _are_ids(value):
            return [tuple(value)]
        if all(isinstance(one, list) and one and _are_ids(one) for one in value):
            return [tuple(one) for one in value]
    raise RequestError("prompt must be a text, a list of token ids, or a list of either, not empty.", param="prompt")


def _are_ids(value: list[Any]) -> bool:
    return all(type(one) is int and 0 <= one < 2**31 for one in value)


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


def _check_together(asked: Body, prompts: Sequence[str | tuple[int, ...]], *, infills: bool) -> None:
    """Raise `RequestError` where one field is at odds with another, or with the model."""
    as_text = all(isinstance(prompt, str) for prompt in prompts)
    if asked.suffix and not infills:
        raise RequestError("This model cannot infill, so it cannot be given a suffix.", param="suffix")
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


class _Answer:
    """What is sent for one request, whole or in pieces."""

    def __init__(self, asked: Body, model: str, requests: Sequence[Request]) -> None:
        self.requests = requests
        self._asked = asked
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._lengths = [0] * len(requests)  # how much of the text of each choice is sent, in characters
        self._usages: dict[int, Usage] = {}

    async def whole(self, chunks: AsyncGenerator[tuple[int, Chunk], None]) -> dict[str, Any]:
        pieces: list[list[dict[str, Any]]] = [[] for _ in self.requests]
        async with aclosing(chunks):
            async for number, chunk in chunks:
                pieces[number].append(self._choice(number, chunk))
        return {**self._head, "choices": [_joined(choice) for choice in pieces], "usage": self._usage()}

    async def stream(self, chunks: AsyncGenerator[tuple[int, Chunk], None]) -> AsyncGenerator[Any, None]:
        wants_usage = bool(self._asked.stream_options and self._asked.stream_options.get("include_usage"))
        usage = {"usage": None} if wants_usage else {}
        async with aclosing(chunks):
            async for number, chunk in chunks:
                if chunk.text or chunk.tokens or chunk.finish_reason:
                    yield {**self._head, "choices": [self._choice(number, chunk)], **usage}
        if wants_usage:
            yield {**self._head, "choices": [], "usage": self._usage()}
        yield events.DONE

    def _choice(self, number: int, chunk: Chunk) -> dict[str, Any]:
        is_first = number not in self._usages
        self._usages[number] = chunk.usage
        echoed = self.requests[number].prefix if self._asked.echo and is_first else ""
        begin = self._lengths[number]
        text = echoed + chunk.text
        self._lengths[number] += len(text)
        return {
            "text": text,
            "index": number,
            "logprobs": None if self._asked.logprobs is None else _logprobs(chunk.tokens, begin),
            "finish_reason": chunk.finish_reason,
        }

    def _usage(self) -> dict[str, Any]:
        """A prompt is counted once, however many choices it has."""
        prompts = [self._usages[number] for number in range(0, len(self.requests), self._asked.n)]
        prompt_tokens = sum(usage.prompt_tokens for usage in prompts)
        completion_tokens = sum(usage.completion_tokens for usage in self._usages.values())
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": sum(usage.cached_tokens for usage in prompts)},
        }


def _logprobs(tokens: Sequence[Token], begin: int) -> dict[str, list[Any]]:
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{**dict(token.top), token.text: token.logprob} for token in tokens],
        "text_offset": list(_offsets(tokens, begin)),
    }


def _offsets(tokens: Sequence[Token], begin: int) -> Iterator[int]:
    for token in tokens:
        yield begin
        begin += len(token.text)


def _joined(pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One choice from its pieces."""
    last = pieces[-1]
    logprobs = last["logprobs"] and {
        name: [item for piece in pieces for item in piece["logprobs"][name]] for name in last["logprobs"]
    }
    return {**last, "text": "".join(piece["text"] for piece in pieces), "logprobs": logprobs}
