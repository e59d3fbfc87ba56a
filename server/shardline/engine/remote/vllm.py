"""vLLM and SGLang: OpenAI's completions with prompts as token ids."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardline.engine import Request
from shardline.engine.remote.dialect import Piece, Question
from shardline.engine.remote.openai import PATH, body_of, read
from shardline.engine.remote.prompts import Ids, Text, spelled


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
            return Question(path=PATH, body={**body_of(self._model, prefix, request), **more})
        built = self._prompts.build(request)
        more["stop_token_ids"] = self._prompts.ends
        if built.removed:
            more |= self.grammar(spelled(built.removed))
        body = {**body_of(self._model, built.ids, request), **more}
        return Question(path=PATH, body=body, prompt_tokens=len(built.ids), removed=built.removed)

    def reading(self, request: Request) -> Question | None:
        """Let it write one token behind what is known of the prompt: it keeps what it has read."""
        ids = self._prompts.ahead(request) if isinstance(self._prompts, Ids) else []
        return Question(path=PATH, body=body_of(self._model, ids, replace(request, max_tokens=1))) if ids else None

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
