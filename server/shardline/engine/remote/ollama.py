"""Ollama: text on both sides of the cursor, for models that it can insert with."""

from collections.abc import Mapping
from typing import Any

from shardline.engine import FinishReason, Request
from shardline.engine.remote.dialect import Piece, Question, count_of, logprob_of, text_of, wishes
from shardline.engine.remote.prompts import Text

PATH = "/api/generate"


class Ollama:
    """Asks for completions; `infills` says whether the model there has a way to insert."""

    def __init__(self, model: str, prompts: Text, *, infills: bool) -> None:
        self._model = model
        self._prompts = prompts
        self.infills = infills

    def question(self, request: Request) -> Question:
        """Ask with the text on both sides of the cursor, or with the one before it and no template around it."""
        prefix, suffix = self._prompts.split(request, infills=self.infills)
        shown = {"suffix": suffix} if suffix else {"raw": True}
        options = {"num_predict": request.max_tokens, "top_k": request.top_k, **wishes(request)}
        body = {"model": self._model, "prompt": prefix, "stream": True, "logprobs": True, "options": options, **shown}
        return Question(path=PATH, body=body)

    def reading(self, _: Request) -> None:
        """What its prompts begin with is the secret of its templates."""

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """What a line of the stream says; the last one says why it has ended, and what it has cost."""
        text = text_of(message["response"])
        chosen = message.get("logprobs") or []
        reason = message.get("done_reason")
        return Piece(
            text=text,
            tokens=len(chosen) or int(bool(text)),
            logprob=sum(logprob_of(token["logprob"]) for token in chosen),
            finish_reason=(FinishReason.LENGTH if reason == "length" else FinishReason.STOP)
            if message["done"]
            else None,
            prompt_tokens=count_of(message.get("prompt_eval_count")),
        )

    def learn(self, _: Request) -> bool:
        """There is no other way."""
        return False
