"""llama.cpp's server: our own prompts in token ids where its tokenizer is known here, else `/infill` or text."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardline.engine import FinishReason, Request
from shardline.engine.remote.dialect import Piece, Question, count_of, logprob_of, text_of, wishes
from shardline.engine.remote.prompts import Ids, Text, spelled

WHOLE, INFILL = "/completion", "/infill"


class LlamaCpp:
    """Asks for completions; `infills` says whether the model there can be shown what follows the cursor."""

    def __init__(self, prompts: Ids | Text, *, infills: bool) -> None:
        self._prompts = prompts
        self.infills = prompts.infills if isinstance(prompts, Ids) else infills

    def question(self, request: Request) -> Question:
        """Ask with our own prompt, or let the server make its own."""
        if isinstance(self._prompts, Ids):
            built = self._prompts.build(request)
            held = {"grammar": spelled(built.removed)} if built.removed else {}
            asked = {"prompt": built.ids, **held, **body(request)}
            return Question(path=WHOLE, body=asked, prompt_tokens=len(built.ids), removed=built.removed)
        prefix, suffix = self._prompts.split(request, infills=self.infills)
        if suffix:
            return Question(path=INFILL, body={"input_prefix": prefix, "input_suffix": suffix, **body(request)})
        return Question(path=WHOLE, body={"prompt": prefix, **body(request)})

    def reading(self, request: Request) -> Question | None:
        """Let it write one token behind what is known of the prompt: it keeps what it has read."""
        ids = self._prompts.ahead(request) if isinstance(self._prompts, Ids) else []
        return Question(path=WHOLE, body={"prompt": ids, **body(replace(request, max_tokens=1))}) if ids else None

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """As `read` has it."""
        return read(message)

    def learn(self, _: Request) -> bool:
        """There is no other way."""
        return False


def body(request: Request) -> dict[str, Any]:
    """How much is asked for, and how tokens are to be chosen."""
    return {
        "n_predict": request.max_tokens,
        "stream": True,
        "n_probs": 1,
        "top_k": request.top_k,
        "min_p": 0.0,
        **wishes(request),
    }


def read(message: Mapping[str, Any]) -> Piece:
    """What a message of the stream says; the last one says why it has ended, and what it has cost."""
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
