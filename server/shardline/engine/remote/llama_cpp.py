"""llama.cpp's server: token ids if its tokenizer is known, else text."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardline.engine import FinishReason, Request
from shardline.engine.remote.dialect import Piece, Question, count_of, logprob_of, sampling, text_of
from shardline.engine.remote.prompts import Ids, Text, spelled

WHOLE, INFILL = "/completion", "/infill"


class LlamaCpp:
    """The dialect of llama.cpp; `infills` is whether its `/infill` works for the model."""

    def __init__(self, prompts: Ids | Text, *, infills: bool) -> None:
        self._prompts = prompts
        self.infills = prompts.infills if isinstance(prompts, Ids) else infills

    def question(self, request: Request) -> Question:
        """Return a question with our own prompt, or one from which the server builds its own."""
        if isinstance(self._prompts, Ids):
            built = self._prompts.build(request)
            held = {"grammar": spelled(built.removed)} if built.removed else {}
            fields = {"prompt": built.ids, **held, **body(request)}
            return Question(path=WHOLE, body=fields, prompt_tokens=len(built.ids), removed=built.removed)
        prefix, suffix = self._prompts.split(request, infills=self.infills)
        if suffix:
            return Question(path=INFILL, body={"input_prefix": prefix, "input_suffix": suffix, **body(request)})
        return Question(path=WHOLE, body={"prompt": prefix, **body(request)})

    def reading(self, request: Request) -> Question | None:
        """Return a question for one token after the known part of the prompt, which the server then keeps."""
        ids = self._prompts.ahead(request) if isinstance(self._prompts, Ids) else []
        return Question(path=WHOLE, body={"prompt": ids, **body(replace(request, max_tokens=1))}) if ids else None

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """Parse a message; see `read`."""
        return read(message)

    def learn(self, _: Request) -> bool:
        """Return False: there is no other way to ask."""
        return False


def body(request: Request) -> dict[str, Any]:
    """Return the fields for `max_tokens` and sampling."""
    return {
        "n_predict": request.max_tokens,
        "stream": True,
        "n_probs": 1,
        "top_k": request.top_k,
        "min_p": 0.0,
        **sampling(request),
    }


def read(message: Mapping[str, Any]) -> Piece:
    """Parse a message of the stream; the last one has the finish reason and the usage."""
    chosen = message.get("completion_probabilities") or []
    text = text_of(message["content"])
    if not message["stop"]:
        tokens = len(chosen) or int(bool(text))
        return Piece(text=text, tokens=tokens, logprob=sum(logprob_of(token["logprob"]) for token in chosen))
    return Piece(
        text=text,
        finish_reason=FinishReason.LENGTH if message.get("stop_type") == "limit" else FinishReason.STOP,
        prompt_tokens=count_of(message.get("tokens_evaluated")),
        cached_tokens=count_of((message.get("timings") or {}).get("cache_n")),
    )
