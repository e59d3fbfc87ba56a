"""OpenAI's completions, with prompts as text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shardline.engine import FinishReason, Request
from shardline.engine.remote.dialect import Piece, Question, count_of, logprob_of, sampling, text_of
from shardline.engine.remote.prompts import Text

PATH = "/v1/completions"


class OpenAI:
    """The dialect of any server with OpenAI's completions: text prompts, infilling by its `suffix`."""

    def __init__(self, model: str, prompts: Text, *, infills: bool) -> None:
        self._model = model
        self._prompts = prompts
        self.infills = infills
        """True until the server refuses a suffix."""

    def question(self, request: Request) -> Question:
        """Return a question with prefix and suffix as text."""
        prefix, suffix = self._prompts.split(request, infills=self.infills)
        shown = {"suffix": suffix} if suffix else {}
        return Question(path=PATH, body={**body_of(self._model, prefix, request), **shown})

    def reading(self, _: Request) -> None:
        """Return None: a prefill may cost money."""

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """Parse a message; see `read`."""
        return read(message)

    def learn(self, request: Request) -> bool:
        """Leave the suffix out from now on if `request` had one, as many servers refuse it."""
        _, suffix = self._prompts.split(request, infills=self.infills)
        self.infills = self.infills and not suffix
        return bool(suffix)


def body_of(model: str, prompt: str | Sequence[int], request: Request) -> dict[str, Any]:
    """Return the fields that any such server knows."""
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": request.max_tokens,
        "stream": True,
        "logprobs": 1,
        **sampling(request),
    }


def read(message: Mapping[str, Any]) -> Piece:
    """Parse a message of the stream in OpenAI's format; the last one may have only usage."""
    usage = message.get("usage") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    spent = Piece(prompt_tokens=count_of(usage.get("prompt_tokens")), cached_tokens=count_of(cached))
    if not message["choices"]:
        return spent
    choice = message["choices"][0]
    text = text_of(choice["text"])
    logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or []
    reason = choice.get("finish_reason")
    return replace(
        spent,
        text=text,
        tokens=len(logprobs) or int(bool(text)),
        logprob=sum(map(logprob_of, logprobs)),
        finish_reason=reason and (FinishReason.LENGTH if reason == "length" else FinishReason.STOP),
    )
