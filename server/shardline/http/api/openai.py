"""OpenAI's completions: https://platform.openai.com/docs/api-reference/completions."""

import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shardline.engine import Chunk, Request, Token, Usage
from shardline.http.admitted_engine import AdmittedEngine
from shardline.http.api import sse
from shardline.http.api.body import body_of, read, refuse_unknown
from shardline.http.api.completion_request import Body, Prompt, prompts_of, requests_of
from shardline.http.api.parallel import complete_all
from shardline.http.error_responses import RequestError
from shardline.settings import ModelSettings


def routes(engine: AdmittedEngine, settings: ModelSettings) -> list[Route]:
    """Return the routes of `/v1/completions` and `/v1/models` for an engine with this model."""
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
        prompts = prompts_of(asked.prompt, settings.context_tokens)
        requests = requests_of(asked, prompts, settings.context_tokens)
        answer = _Answer(asked, model, prompts, requests)
        chunks = complete_all(engine, answer.requests)
        return await sse.answer(answer.stream(chunks)) if asked.stream else JSONResponse(await answer.whole(chunks))

    return [
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{model:path}", one_model),
    ]


def _check_model(asked: str, served: str) -> None:
    if asked not in ("", served):
        message = f"The model '{asked[:256]}' does not exist; this server has '{served}'."
        raise RequestError(message, status=404, param="model", code="model_not_found")


class _Answer:
    """The answer to one request, whole or in pieces."""

    def __init__(self, asked: Body, model: str, prompts: Sequence[Prompt], requests: Sequence[Request]) -> None:
        self.requests = requests
        self._prompts = prompts if asked.echo else ()
        self._asked = asked
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._lengths = [0] * len(requests)  # characters sent of each choice
        self._usages: dict[int, Usage] = {}

    async def whole(self, chunks: AsyncGenerator[tuple[int, Chunk], None]) -> dict[str, Any]:
        pieces: list[list[dict[str, Any]]] = [[] for _ in self.requests]
        async with aclosing(chunks):
            async for index, chunk in chunks:
                pieces[index].append(self._choice(index, chunk))
        return {**self._head, "choices": [_joined(choice) for choice in pieces], "usage": self._usage()}

    async def stream(self, chunks: AsyncGenerator[tuple[int, Chunk], None]) -> AsyncGenerator[Any, None]:
        wants_usage = bool(self._asked.stream_options and self._asked.stream_options.get("include_usage"))
        usage = {"usage": None} if wants_usage else {}
        async with aclosing(chunks):
            async for index, chunk in chunks:
                if chunk.text or chunk.tokens or chunk.finish_reason:
                    yield {**self._head, "choices": [self._choice(index, chunk)], **usage}
        if wants_usage:
            yield {**self._head, "choices": [], "usage": self._usage()}
        yield sse.DONE

    def _choice(self, index: int, chunk: Chunk) -> dict[str, Any]:
        is_first = index not in self._usages
        self._usages[index] = chunk.usage
        echoed = self._prompts[index // self._asked.n] if self._prompts and is_first else ""
        begin = self._lengths[index]
        text = f"{echoed}{chunk.text}"
        self._lengths[index] += len(text)
        return {
            "text": text,
            "index": index,
            "logprobs": None if self._asked.logprobs is None else _logprobs(chunk.tokens, begin),
            "finish_reason": chunk.finish_reason,
        }

    def _usage(self) -> dict[str, Any]:
        """Return the usage; a prompt with several choices counts once."""
        prompts = [self._usages[index] for index in range(0, len(self.requests), self._asked.n)]
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
    """Return one choice from its pieces."""
    last = pieces[-1]
    logprobs = last["logprobs"] and {
        name: [item for piece in pieces for item in piece["logprobs"][name]] for name in last["logprobs"]
    }
    return {**last, "text": "".join(piece["text"] for piece in pieces), "logprobs": logprobs}
