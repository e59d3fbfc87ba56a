"""llama.cpp's `/infill` and `/completion`, as its editor plugins use them.

Source: tools/server/README.md of ggml-org/llama.cpp.
"""

import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shardline.engine import NOTHING_SPENT, Chunk, FinishReason, Request, Token, Usage
from shardline.engine.window import crop
from shardline.http.admitted_engine import AdmittedEngine
from shardline.http.api import sse
from shardline.http.api.body import body_of, field, read, texts
from shardline.http.error_responses import RequestError
from shardline.settings import Settings

MAX_STOPS = 32
MAX_LIKELY = 20
TOKENS = "completion_probabilities"


@dataclass(frozen=True, kw_only=True)
class Body:
    """The supported fields; all others are ignored.

    `prompt` stands between `input_prefix` and the cursor. The settings replace None. `n_predict` below 0 fills the
    context, and 0 only prefills the prompt. Generation ends before a line with fewer than `n_indent` spaces or tabs in
    front, and after `t_max_predict_ms` with the next line. With `n_probs` each token is reported with up to 20 likely
    ones.
    """

    input_prefix: str = field("")
    input_suffix: str = field("")
    input_extra: Any = field(None)
    prompt: str = field("")
    n_predict: int | None = field(None)
    n_indent: int = field(0)
    temperature: float | None = field(None)
    top_k: int | None = field(None)
    top_p: float | None = field(None, minimum=0, maximum=1)
    min_p: float = field(0.0, minimum=0, maximum=1)
    seed: int | None = field(None, minimum=-(2**63), maximum=2**63 - 1)
    stop: Any = field(None)
    stream: bool = field(False)
    n_probs: int = field(0)
    t_max_predict_ms: float = field(0.0)
    response_fields: Any = field(None)


def routes(engine: AdmittedEngine, settings: Settings) -> list[Route]:
    """Return the routes of `/infill` and `/completion` for an engine with these settings."""

    async def infill(request: HttpRequest) -> Response:
        asked = read(Body, await body_of(request))
        return await answer_to(asked, _request(asked, settings))

    async def completion(request: HttpRequest) -> Response:
        asked = read(Body, await body_of(request))
        whole = replace(asked, input_prefix="", input_suffix="", input_extra=None)
        return await answer_to(whole, replace(_request(whole, settings), infilling="off", healing=False))

    async def answer_to(asked: Body, wanted: Request) -> Response:
        shown = asked.response_fields
        if shown is not None and not (isinstance(shown, list) and all(isinstance(name, str) for name in shown)):
            raise RequestError("response_fields must be a list of names.", param="response_fields")
        answer = _Answer(asked, wanted, settings)
        if asked.stream:
            return await sse.answer(answer.stream(engine))
        async with aclosing(answer.stream(engine)) as pieces:
            parts = [part async for part in pieces]
        whole = {**parts[-1], "content": "".join(part["content"] for part in parts)}
        if asked.n_probs > 0:
            whole[TOKENS] = [token for part in parts for token in part.get(TOKENS, [])]
        return JSONResponse(whole if shown is None else _chosen(whole, shown))

    return [Route("/infill", infill, methods=["POST"]), Route("/completion", completion, methods=["POST"])]


def _request(asked: Body, settings: Settings) -> Request:
    """Return the engine's request, with the settings for missing fields; raises `RequestError`."""
    given = settings.generation
    room = settings.model.context_tokens
    wanted = asked.n_predict or given.max_tokens
    seed = given.seed if asked.seed is None else asked.seed
    request = Request(
        document="",
        prefix=_extra(asked.input_extra) + asked.input_prefix + asked.prompt,
        suffix=asked.input_suffix,
        infilling=settings.completion.infilling,
        max_tokens=min(wanted, room) if wanted > 0 else room,
        temperature=given.temperature if asked.temperature is None else max(0.0, asked.temperature),
        top_p=given.top_p if asked.top_p is None else asked.top_p,
        top_k=given.top_k if asked.top_k is None else max(0, asked.top_k),
        min_p=asked.min_p,
        seed=None if seed is None or seed < 0 else seed,
        stop=given.stop if asked.stop is None else texts(asked.stop, "stop", max_texts=MAX_STOPS),
        logprobs=min(asked.n_probs, MAX_LIKELY) if asked.n_probs > 0 else None,
    )
    return crop(request, room)


def _extra(value: Any) -> str:
    """Return the pieces of other files as one text; raises `RequestError`."""
    pieces = [] if value is None else value
    if not isinstance(pieces, list) or not all(
        isinstance(one, dict) and isinstance(one.get("text"), str) for one in pieces
    ):
        raise RequestError("input_extra must be a list of objects with a text.", param="input_extra")
    return "".join(f"{one['text']}\n\n" for one in pieces)


class _Block:
    """The end of a block: the first line with fewer than `min_indent` spaces or tabs in front.

    Holds back a line break and the indentation behind it until the line is known.
    """

    def __init__(self, min_indent: int) -> None:
        self._min_indent = min_indent
        self._held = ""

    def take(self, text: str, *, is_last: bool) -> tuple[str, bool]:
        """Return the text that belongs to the block and was not returned yet, and whether the block is over."""
        within, *others = re.split(r"(\n\s*)", self._held + text) if self._min_indent > 0 else [text]
        self._held = ""
        for begin, rest in zip(others[::2], others[1::2], strict=True):
            if not rest and not is_last:
                self._held = begin
            elif rest and len(begin.rpartition("\n")[2]) < self._min_indent:
                return within, True
            else:
                within += begin + rest
        return within, False


class _Answer:
    """The answer to one request in pieces; the last one has all but the text."""

    def __init__(self, asked: Body, wanted: Request, settings: Settings) -> None:
        self._asked = asked
        self._wanted = wanted
        self._settings = settings

    async def stream(self, engine: AdmittedEngine) -> AsyncGenerator[dict[str, Any], None]:
        if self._asked.n_predict == 0:
            await engine.warm(self._wanted)
            yield self._end(None)
            return
        last: Chunk | None = None
        first_at: float | None = None
        before, block = "", _Block(self._asked.n_indent)
        async with aclosing(engine.complete(self._wanted)) as chunks:
            async for last in chunks:
                first_at = first_at or time.perf_counter()
                text, is_over = block.take(last.text, is_last=last.finish_reason is not None)
                if "\n" in before and self._is_late(first_at):
                    rest, line_feed, _ = text.partition("\n")
                    text, is_over = ("", True) if before.endswith("\n") else (rest, is_over or bool(line_feed))
                if text or (last.tokens and not is_over):
                    yield {"content": text, "stop": False, **_reported(last.tokens)}
                before += text
                if is_over:
                    break
        yield self._end(last)

    def _is_late(self, first_at: float) -> bool:
        return 0 < self._asked.t_max_predict_ms <= 1000 * (time.perf_counter() - first_at)

    def _end(self, last: Chunk | None) -> dict[str, Any]:
        usage = last.usage if last else NOTHING_SPENT
        reason = last.finish_reason if last else None
        return {
            "content": "",
            "stop": True,
            "stop_type": "eos" if reason is FinishReason.STOP else "limit",
            "model": self._settings.model.name,
            "tokens_predicted": usage.completion_tokens,
            "tokens_evaluated": usage.prompt_tokens,
            "tokens_cached": usage.prompt_tokens + usage.completion_tokens,
            "truncated": reason is FinishReason.LENGTH and usage.completion_tokens < self._wanted.max_tokens,
            "generation_settings": {
                "n_ctx": self._settings.model.context_tokens,
                "n_predict": self._wanted.max_tokens,
                "temperature": self._wanted.temperature,
                "top_k": self._wanted.top_k,
                "top_p": self._wanted.top_p,
                "stop": list(self._wanted.stop),
            },
            "timings": _timings(usage),
        }


def _reported(tokens: Sequence[Token]) -> dict[str, Any]:
    """Return the field with the tokens, if there are any."""

    def one(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "bytes": list(text.encode()), "logprob": logprob}

    reported = [
        {**one(token.text, token.logprob), "top_logprobs": [one(text, logprob) for text, logprob in token.top]}
        for token in tokens
    ]
    return {TOKENS: reported} if reported else {}


def _timings(usage: Usage) -> dict[str, float]:
    read_tokens = usage.prompt_tokens - usage.cached_tokens
    decoding = usage.total_time - usage.time_to_first_token
    return {
        "cache_n": usage.cached_tokens,
        **_speed("prompt", read_tokens, usage.time_to_first_token),
        **_speed("predicted", usage.completion_tokens, decoding),
    }


def _speed(name: str, tokens: int, seconds: float) -> dict[str, float]:
    return {
        f"{name}_n": tokens,
        f"{name}_ms": 1000 * seconds,
        f"{name}_per_token_ms": 1000 * seconds / tokens if tokens else 0.0,
        f"{name}_per_second": tokens / seconds if seconds > 0 else 0.0,
    }


def _chosen(whole: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the fields of these names; `timings/prompt_n` is nested."""
    chosen: dict[str, Any] = {}
    for name in names:
        found: Any = whole
        for part in name.split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        if found is not None:
            chosen[name] = found
    return chosen
