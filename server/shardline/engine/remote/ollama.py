"""Ollama: prefix and suffix as text, infilling by its own templates."""

from collections.abc import Mapping
from typing import Any

from shardline.engine import FinishReason, Request
from shardline.engine.remote.dialect import Piece, Question, count_of, logprob_of, sampling, text_of
from shardline.engine.remote.prompts import Text

PATH = "/api/generate"


class Ollama:
    """The dialect of Ollama; `infills` is whether the model's template takes a suffix."""

    def __init__(self, model: str, prompts: Text, *, infills: bool) -> None:
        self._model = model
        self._prompts = prompts
        self.infills = infills

    def question(self, request: Request) -> Question:
        """Return a question with prefix and suffix, or with the raw prefix and no template."""
        prefix, suffix = self._prompts.split(request, infills=self.infills)
        shown = {"suffix": suffix} if suffix else {"raw": True}
        options = {"num_predict": request.max_tokens, "top_k": request.top_k, **sampling(request)}
        body = {"model": self._model, "prompt": prefix, "stream": True, "logprobs": True, "options": options, **shown}
        return Question(path=PATH, body=body)

    def reading(self, _: Request) -> None:
        """Return None: its template decides how the prompt begins."""

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """Parse a line of the stream; the last one has the finish reason and the usage."""
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
        """Return False: there is no other way to ask."""
        return False
