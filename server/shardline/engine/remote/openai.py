"""OpenAI's completions, with prompts as text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shardline.engine import FinishReason, Request
from shardline.engine.remote.dialect import Piece, Question, count_of, logprob_of, text_of, wishes
from shardline.engine.remote.prompts import Text

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
        return Question(path=PATH, body={**body_of(self._model, prefix, request), **shown})

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


def body_of(model: str, prompt: str | Sequence[int], request: Request) -> dict[str, Any]:
    """Return the fields of a request that any such server knows."""
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
