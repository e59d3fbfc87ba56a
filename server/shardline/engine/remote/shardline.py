"""`shardline serve` on another machine: it makes the prompts that it would for editors of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardline.engine import Request
from shardline.engine.remote import llama_cpp
from shardline.engine.remote.dialect import Piece, Question
from shardline.engine.remote.prompts import Text


class Shardline:
    """Asks by llama.cpp's `/infill`, which it answers for any model, with half-typed words written again."""

    def __init__(self, prompts: Text, *, infills: bool) -> None:
        self._prompts = prompts
        self.infills = infills

    def question(self, request: Request) -> Question:
        """Ask with the text on both sides of the cursor, of which the model is shown what it can be."""
        prefix, suffix = self._prompts.split(request, infills=True)
        shown = {"input_prefix": prefix, "input_suffix": suffix, "stop": []}
        return Question(path=llama_cpp.INFILL, body={**shown, **llama_cpp.body(request)})

    def reading(self, request: Request) -> Question:
        """Let it read the prompt and write nothing."""
        return self.question(replace(request, max_tokens=0))

    def piece(self, message: Mapping[str, Any]) -> Piece:
        """As llama.cpp's."""
        return llama_cpp.read(message)

    def learn(self, _: Request) -> bool:
        """There is no other way."""
        return False
