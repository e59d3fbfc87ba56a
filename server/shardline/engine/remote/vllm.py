"""vLLM and SGLang: OpenAI's completions with prompts as token ids."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardline.engine import Request
from shardline.engine.remote.dialect import Piece, Question
from shardline.engine.remote.openai import PATH, body_of, read
from shardline.engine.remote.prompts import Ids, Text, spelled


class TokenCompletions:
    """The dialect of vLLM and SGLang: prompts as token ids, or the prefix as text if the tokenizer is unknown.

    Both can constrain an answer by a grammar; a subclass says in which field.
    """

    def __init__(self, model: str, prompts: Ids | Text) -> None:
        self._model = model
        self._prompts = prompts

    @property
    def infills(self) -> bool:
        """Whether the model supports infilling and its tokenizer is known."""
        return isinstance(self._prompts, Ids) and self._prompts.infills

    def grammar(self, text: str) -> Mapping[str, Any]:
        """Return the field that constrains the answer by the GBNF grammar `text`."""
        raise NotImplementedError

    def question(self, request: Request) -> Question:
        """Return a question with our own prompt."""
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
        """Return a question for one token after the known part of the prompt, which the server then keeps."""
        ids = self._prompts.ahead(request) if isinstance(self._prompts, Ids) else []
        return Question(path=PATH, body=body_of(self._model, ids, replace(request, max_tokens=1))) if ids else None

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """Parse a message; see `read`."""
        return read(message)

    def learn(self, _: Request) -> bool:
        """Return False: there is no other way to ask."""
        return False


class Vllm(TokenCompletions):
    """The dialect of vLLM."""

    def grammar(self, text: str) -> Mapping[str, Any]:
        """Return vLLM's field for a grammar."""
        return {"structured_outputs": {"grammar": text}}


class SGLang(TokenCompletions):
    """The dialect of SGLang."""

    def grammar(self, text: str) -> Mapping[str, Any]:
        """Return SGLang's field for a grammar."""
        return {"ebnf": text}
