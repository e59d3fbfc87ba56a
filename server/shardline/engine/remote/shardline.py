"""`shardline serve` on another machine, which builds the prompts itself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardline.engine import Request
from shardline.engine.remote import llama_cpp
from shardline.engine.remote.dialect import Piece, Question
from shardline.engine.remote.prompts import Text


class Shardline:
    """The dialect of `shardline serve`: llama.cpp's `/infill`, which works for any model and heals tokens."""

    def __init__(self, prompts: Text, *, infills: bool) -> None:
        self._prompts = prompts
        self.infills = infills

    def question(self, request: Request) -> Question:
        """Return a question with prefix and suffix; the server ignores the suffix without infilling."""
        prefix, suffix = self._prompts.split(request, infills=True)
        shown = {"input_prefix": prefix, "input_suffix": suffix, "stop": []}
        return Question(path=llama_cpp.INFILL, body={**shown, **llama_cpp.body(request)})

    def reading(self, request: Request) -> Question:
        """Return a question that prefills the prompt and generates nothing."""
        return self.question(replace(request, max_tokens=0))

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """Parse a message in llama.cpp's format."""
        return llama_cpp.read(message)

    def learn(self, _: Request) -> bool:
        """Return False: there is no other way to ask."""
        return False
