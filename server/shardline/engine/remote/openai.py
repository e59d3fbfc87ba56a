"""Servers that speak as OpenAI's completions do, and what vLLM and SGLang take beside that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shardline.engine import FinishReason, Request
from shardline.engine.remote.dialect import Piece, Question, count_of, logprob_of, text_of, wishes
from shardline.engine.remote.prompts import Ids, Text, spelled

PATH = "/v1/completions"


class OpenAI:
    """Any server that speaks like OpenAI's: prompts in text, and its own way to show what follows the cursor."""

    def __init__(self, model: str, prompts: Text, *, infills: bool) -> None:
        self._model = model
        self._prompts = prompts
        self.infills = infills
        """Until it has refused that."""

    def question(self, request: Request) -> Question:
        """Ask with the text on both sides of the cursor."""
        prefix, suffix = self._prompts.split(request, infills=self.infills)
        shown = {"suffix": suffix} if suffix else {}
        return Question(path=PATH, body={**_body(self._model, prefix, request), **shown})

    def reading(self, _: Request) -> None:
        """It may cost money."""

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """As `read` has it."""
        return read(message)

    def learn(self, request: Request) -> bool:
        """Many know no suffix, and refuse requests that have one."""
        _, suffix = self._prompts.split(request, infills=self.infills)
        self.infills = self.infills and not suffix
        return bool(suffix)


class TokenCompletions:
    """vLLM and SGLang: our own prompts in token ids, or the text before the cursor where the tokenizer is unknown.

    They hold an answer to a grammar, which `grammar` puts into a request in the server's own way.
    """

    def __init__(self, model: str, prompts: Ids | Text) -> None:
        self._model = model
        self._prompts = prompts

    @property
    def infills(self) -> bool:
        """Whether the model can be shown what follows the cursor."""
        return isinstance(self._prompts, Ids) and self._prompts.infills

    def grammar(self, text: str) -> Mapping[str, Any]:
        """What holds an answer to the GBNF grammar `text`."""
        raise NotImplementedError

    def question(self, request: Request) -> Question:
        """Ask with our own prompt."""
        more: dict[str, Any] = {"stream_options": {"include_usage": True}}
        if request.top_k:
            more["top_k"] = request.top_k
        if isinstance(self._prompts, Text):
            prefix, _ = self._prompts.split(request, infills=False)
            return Question(path=PATH, body={**_body(self._model, prefix, request), **more})
        built = self._prompts.build(request)
        more["stop_token_ids"] = self._prompts.ends
        if built.removed:
            more |= self.grammar(spelled(built.removed))
        body = {**_body(self._model, built.ids, request), **more}
        return Question(path=PATH, body=body, prompt_tokens=len(built.ids), removed=built.removed)

    def reading(self, request: Request) -> Question | None:
        """Let it write one token behind what is known of the prompt: it keeps what it has read."""
        ids = self._prompts.ahead(request) if isinstance(self._prompts, Ids) else []
        return Question(path=PATH, body=_body(self._model, ids, replace(request, max_tokens=1))) if ids else None

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """As `read` has it."""
        return read(message)

    def learn(self, _: Request) -> bool:
        """There is no other way."""
        return False


class Vllm(TokenCompletions):
    """vLLM."""

    def grammar(self, text: str) -> Mapping[str, Any]:
        """By its own parameter."""
        return {"structured_outputs": {"grammar": text}}


class SGLang(TokenCompletions):
    """SGLang."""

    def grammar(self, text: str) -> Mapping[str, Any]:
        """By its own parameter."""
        return {"ebnf": text}


def _body(model: str, prompt: str | Sequence[int], request: Request) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": request.max_tokens,
        "stream": True,
        "logprobs": 1,
        **wishes(request),
    }


def read(message: Mapping[str, Any]) -> Piece:
    """What a message of the stream says, as OpenAI defines it; the last one may have usage alone."""
    usage = message.get("usage") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    told = Piece(prompt_tokens=count_of(usage.get("prompt_tokens")), cached_tokens=count_of(cached))
    if not message["choices"]:
        return told
    choice = message["choices"][0]
    text = text_of(choice["text"])
    logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or []
    reason = choice.get("finish_reason")
    return replace(
        told,
        text=text,
        tokens=len(logprobs) or int(bool(text)),
        logprob=sum(map(logprob_of, logprobs)),
        finish_reason=reason and (FinishReason.LENGTH if reason == "length" else FinishReason.STOP),
    )
