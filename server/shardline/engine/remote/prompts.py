"""Prompts for remote servers: token ids or text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shardline.engine import Request
from shardline.engine.tokenization import prompt as prompts
from shardline.engine.tokenization.prompt import Prompt
from shardline.engine.tokenization.tokenizer import Codec

MIN_CHARACTERS_PER_TOKEN, MAX_CHARACTERS_PER_TOKEN = 2, 8
"""Bounds for code: the lower one for servers that refuse a long prompt, the upper one for those that cut it."""


@dataclass(frozen=True)
class Ids:
    """Prompts as token ids of `codec`, for a context of `context_tokens`."""

    codec: Codec
    context_tokens: int

    @property
    def infills(self) -> bool:
        """Whether the model supports infilling."""
        return self.codec.infilling is not None

    @property
    def ends(self) -> Sequence[int]:
        """The ids of the tokens that end a text."""
        return sorted(self.codec.signals)

    def build(self, request: Request) -> Prompt:
        """Return the prompt of `request`."""
        return prompts.build(request, self.codec, budget=self._budget(request))

    def ahead(self, request: Request) -> list[int]:
        """Return the part of the prompt that is known ahead of the request."""
        return prompts.known_ahead(request, self.codec, budget=self._budget(request))

    def _budget(self, request: Request) -> int:
        return prompts.prompt_budget(self.context_tokens, request.max_tokens)


@dataclass(frozen=True)
class Text:
    """Prompts as whole lines of text, for a context of `context_tokens` at so many characters each."""

    context_tokens: int
    characters_per_token: int = MIN_CHARACTERS_PER_TOKEN

    def split(self, request: Request, *, infills: bool) -> tuple[str, str]:
        """Return the ends of prefix and suffix nearest to the cursor; the suffix is empty without infilling."""
        budget = prompts.prompt_budget(self.context_tokens, request.max_tokens) * self.characters_per_token
        shows = infills and request.infilling != "off" and bool(request.suffix.strip())
        suffix = request.suffix if shows else ""
        if len(request.prefix) + len(suffix) > budget:
            suffix = suffix[: budget // prompts.SUFFIX_SHARE]
        return _end_of(request.prefix, budget - len(suffix)), suffix


def _end_of(text: str, room: int) -> str:
    """Return at most the last `room` characters, from the beginning of a line if there is one.

    The beginning moves in steps, as in our own prompts, so that the server's KV cache stays valid.
    """
    if len(text) <= room:
        return text
    step = max(1, room // prompts.STEPS)
    end = text[math.ceil((len(text) - room) / step) * step :]
    _, line_feed, lines = end.partition("\n")
    return lines if line_feed and lines else end


def spelled(removed: str) -> str:
    """Return a GBNF grammar of the texts that begin with `removed`."""
    escaped = "".join(
        character if character.isascii() and character.isalnum() else f"\\U{ord(character):08X}"
        for character in removed
    )
    return f'root ::= "{escaped}" [^\\x00]*'
