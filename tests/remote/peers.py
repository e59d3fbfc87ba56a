"""Fake vLLM, llama.cpp, SGLang, Ollama and OpenAI servers, run as a child: `peers.py KIND FOLDER`.

What is completed is in the prompt: a line that ends with `say:TEXT` goes on with TEXT, token by token; one that ends
with `see`, with what the server was shown of the suffix; with `long`, without an end; with `half`, until the connection
breaks; with `die`, until the process ends. One that has `hang` in it never goes on.

`told.json` in FOLDER may change how it behaves. Each request is appended to `asked.jsonl` there, with its path, body,
key and connection. On standard output it says its port, `hangs`, and `closed` when a client does not wait for the end.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from tokenizers import Tokenizer

KIND, FOLDER = sys.argv[1], Path(sys.argv[2])
TOLD: dict[str, Any] = json.loads((FOLDER / "told.json").read_text())
"""`infills`, whether it can; `grammars`, False, "late" or "ignored" where it cannot; `model`, its name; `models`, all
of their names; `owner`, whom they are owned by; `key`, which it wants; `raw`, its whole answer, and its `status`;
`location`, where it leads; `tokenizer`, a file."""
TOKENIZER = Tokenizer.from_file(TOLD["tokenizer"])
TOKENIZER.encode_special_tokens = True
MODEL = TOLD.get("model", "tiny")
LOGPROB = -0.25


async def body_of(request: Request) -> Any:
    whole = await request.body()
    body = json.loads(whole) if whole else None
    connection = request.client and request.client.port
    asked = {"path": request.url.path, "key": request.headers.get("authorization"), "connection": connection}
    with (FOLDER / "asked.jsonl").open("a") as file:
        file.write(json.dumps({**asked, "body": body}) + "\n")
    return body


def refusal(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "BadRequestError", "code": status}}, status)


def prefix_of(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else TOKENIZER.decode(prompt, skip_special_tokens=False)


def removed_of(grammar: str | None) -> str:
    """Return the text that a grammar of ours wants an answer to begin with."""
    quoted = re.fullmatch(r'root ::= "(.*)" \[\^\\x00\]\*', grammar or 'root ::= "" [^\\x00]*')
    assert quoted, grammar
    return re.sub(r"\\U([0-9A-F]{8})", lambda match: chr(int(match[1], 16)), quoted[1])


def completion(prompt: str, suffix: str, removed: str) -> list[str]:
    """Return the pieces of what follows."""
    last = (prompt + removed).rpartition("\n")[2]
    text = suffix.partition("\n")[0] if last.endswith("see") else last.partition("say:")[2].replace("\\n", "\n")
    return re.findall(r"\S+|\s", removed + text, re.DOTALL)


async def pieces(prompt: str, suffix: str, removed: str, most: int) -> AsyncIterator[str]:
    """Yield what follows `prompt`, at most so many tokens."""
    written = completion(prompt, suffix, removed)
    whole = prompt + removed
    for piece in written[:most]:
        yield piece
        await asyncio.sleep(0)
    if "hang" in whole.rpartition("\n")[2]:
        print("hangs", flush=True)  # noqa: T201
        await asyncio.Event().wait()
    if whole.endswith("die"):
        os._exit(9)
    if whole.endswith("half"):
        raise ConnectionError
    while whole.endswith("long"):
        yield " word"
        await asyncio.sleep(0.001)


def stream(events: AsyncIterator[str], media: str) -> Response:
    """Yield a streamed answer, of which it is said when nobody waits for its end."""

    async def watched() -> AsyncIterator[str]:
        finished = False
        try:
            async for event in events:
                yield event
            finished = True
        finally:
            if not finished:
                print("closed", flush=True)  # noqa: T201

    return StreamingResponse(watched(), media_type=media)


def answered(answer: Callable[[Any], Response | AsyncIterator[str]], media: str = "text/event-stream") -> Any:
    """Return a handler that does as it was told, or else answers."""

    async def handle(request: Request) -> Response:
        body = await body_of(request)
        if TOLD.get("key") and request.headers.get("authorization") != f"Bearer {TOLD['key']}":
            return refusal(401, "no such key")
        if "location" in TOLD:
            return RedirectResponse(TOLD["location"])
        if "raw" in TOLD:
            return Response(TOLD["raw"].encode(), TOLD.get("status", 200), media_type=media)
        result = answer(body)
        return result if isinstance(result, Response) else stream(result, media)

    return handle


def listed(_: Request) -> Response:
    owners = {"llama.cpp": "llamacpp", "ollama": "library", "openai": "somebody"}
    owner = TOLD.get("owner", owners.get(KIND, KIND))
    models = [{"id": name, "object": "model", "owned_by": owner} for name in TOLD.get("models", [MODEL])]
    if KIND in ("vllm", "sglang"):
        models = [{**model, "max_model_len": 512} for model in models]
    return JSONResponse({"object": "list", "data": models})


async def list_models(request: Request) -> Response:
    await body_of(request)
    if TOLD.get("key") and request.headers.get("authorization") != f"Bearer {TOLD['key']}":
        return refusal(401, "no such key")
    return listed(request)


def tells(value: Any) -> Any:
    async def handle(_: Request) -> Response:
        return JSONResponse(value)

    return handle


async def tokenize(request: Request) -> Response:
    body = await request.json()
    text = body["content"] if KIND == "llama.cpp" else body["prompt"]
    ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    return JSONResponse({"tokens": ids, "count": len(ids)})


def complete(body: Any) -> Response | AsyncIterator[str]:
    """`/v1/completions`."""
    if "suffix" in body and not TOLD.get("infills"):
        return refusal(400, "suffix is not currently supported")
    if body["model"] != MODEL:
        return refusal(404, f"The model `{body['model']}` does not exist.")
    grammar = body.get("ebnf") or (body.get("structured_outputs") or {}).get("grammar")
    if grammar and TOLD.get("grammars") is False:
        return refusal(400, "grammars are not supported")
    if grammar and TOLD.get("grammars") == "late":
        return late_refusal()
    removed = "" if TOLD.get("grammars") == "ignored" else removed_of(grammar)
    return completions(body, prefix_of(body["prompt"]), removed)


async def late_refusal() -> AsyncIterator[str]:
    yield f"data: {json.dumps({'error': {'message': 'grammars are not supported', 'code': 400}})}\n\n"


async def completions(body: Any, prompt: str, removed: str) -> AsyncIterator[str]:
    count = 0

    def event(text: str, reason: str | None) -> str:
        logprobs = {"tokens": [text], "token_logprobs": [LOGPROB]} if text else None
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": reason}
        return f"data: {json.dumps({'object': 'text_completion', 'model': MODEL, 'choices': [choice]})}\n\n"

    async for piece in pieces(prompt, body.get("suffix", ""), removed, body["max_tokens"]):
        count += 1
        yield event(piece, None)
    yield event("", "length" if count == body["max_tokens"] else "stop")
    if (body.get("stream_options") or {}).get("include_usage"):
        usage = {"prompt_tokens": 77, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": 70}}
        yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def llama(body: Any) -> Response | AsyncIterator[str]:
    """`/completion`."""
    return llama_events(body, prefix_of(body["prompt"]), "", removed_of(body.get("grammar")))


def infill(body: Any) -> Response | AsyncIterator[str]:
    """`/infill`."""
    if not TOLD.get("infills"):
        return refusal(501, "Infill is not supported by this model: prefix token is missing.")
    if not body.get("stream"):
        return JSONResponse({"content": "", "stop": True})
    return llama_events(body, body["input_prefix"], body["input_suffix"], "")


async def llama_events(body: Any, prompt: str, suffix: str, removed: str) -> AsyncIterator[str]:
    count = 0
    async for piece in pieces(prompt, suffix, removed, body["n_predict"]):
        count += 1
        chosen = [{"id": 1, "token": piece, "logprob": LOGPROB, "top_logprobs": []}]
        yield f"data: {json.dumps({'content': piece, 'stop': False, 'completion_probabilities': chosen})}\n\n"
    kind = "limit" if count == body["n_predict"] else "eos"
    last = {"content": "", "stop": True, "stop_type": kind, "tokens_evaluated": 77, "timings": {"cache_n": 70}}
    yield f"data: {json.dumps(last)}\n\n"


async def ollama(body: Any) -> AsyncIterator[str]:
    """`/api/generate`."""
    count, most = 0, body["options"]["num_predict"]
    async for piece in pieces(body["prompt"], body.get("suffix", ""), "", most):
        count += 1
        yield json.dumps({"response": piece, "done": False, "logprobs": [{"token": piece, "logprob": LOGPROB}]}) + "\n"
    reason = "length" if count == most else "stop"
    yield json.dumps({"response": "", "done": True, "done_reason": reason, "prompt_eval_count": 77}) + "\n"


OPENAI = [Route("/v1/models", list_models), Route("/v1/completions", answered(complete), methods=["POST"])]
SHOWN = {"capabilities": ["completion", "insert"] if TOLD.get("infills") else ["completion"]}
ROUTES = {
    "openai": OPENAI,
    "vllm": [
        *OPENAI,
        Route("/version", tells({"version": "0.32.0"})),
        Route("/tokenize", tokenize, methods=["POST"]),
    ],
    "sglang": [
        *OPENAI,
        Route("/get_server_info", tells({"model_path": "somebody/tiny"})),
        Route("/tokenize", tokenize, methods=["POST"]),
    ],
    "llama.cpp": [
        *OPENAI[:1],
        Route("/props", tells({"default_generation_settings": {"n_ctx": 512}})),
        Route("/tokenize", tokenize, methods=["POST"]),
        Route("/completion", answered(llama), methods=["POST"]),
        Route("/infill", answered(infill), methods=["POST"]),
    ],
    "ollama": [
        *OPENAI[:1],
        Route("/api/version", tells({"version": "0.12.11"})),
        Route("/api/show", tells(SHOWN), methods=["POST"]),
        Route("/api/generate", answered(ollama, "application/x-ndjson"), methods=["POST"]),
    ],
}


class Server(uvicorn.Server):
    """Tells its port when it listens."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201


if __name__ == "__main__":
    port = int(sys.argv[3])
    config = uvicorn.Config(Starlette(routes=ROUTES[KIND]), host="127.0.0.1", port=port, log_level="critical")
    Server(config).run()
