"""The prompts that servers are sent: our own token ids where their tokenizer is known here, else text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shardline.engine import Request
from shardline.engine.tokenization import prompt as prompts
from shardline.engine.tokenization.prompt import Prompt
from shardline.engine.tokenization.tokenizer import Codec

SHORTEST, LONGEST = 2, 8
"""Characters per token, of which code has more and fewer: a server that refuses a long prompt must not be sent one, and
one that cuts it should be sent enough."""


@dataclass(frozen=True)
class Ids:
    """Prompts in the ids of `codec`, for a model that may look at `context_tokens`."""

    codec: Codec
    context_tokens: int

    @property
    def infills(self) -> bool:
        """Whether the model can be shown what follows the cursor."""
        return self.codec.infilling is not None

    @property
    def ends(self) -> Sequence[int]:
        """The tokens that end a text."""
        return sorted(self.codec.signals)

    def build(self, request: Request) -> Prompt:
        """The prompt of `request`."""
        return prompts.build(request, self.codec, budget=self._budget(request))

    def ahead(self, request: Request) -> list[int]:
        """As much of it as can be known before it is asked for."""
        return prompts.known_ahead(request, self.codec, budget=self._budget(request))

    def _budget(self, request: Request) -> int:
        return prompts.prompt_budget(self.context_tokens, request.max_tokens)


@dataclass(frozen=True)
class Text:
    """Prompts in text, whole lines of it, for a model that may look at `context_tokens` of so many characters."""

    context_tokens: int
    characters_per_token: int = SHORTEST

    def split(self, request: Request, *, infills: bool) -> tuple[str, str]:
        """The text before the cursor, and what follows it, which is empty where that must not be shown."""
        budget = prompts.prompt_budget(self.context_tokens, request.max_tokens) * self.characters_per_token
        shows = infills and request.infilling != "off" and bool(request.suffix.strip())
        suffix = request.suffix if shows else ""
        if len(request.prefix) + len(suffix) > budget:
            suffix = suffix[: budget // prompts.SUFFIX_SHARE]
        return _end_of(request.prefix, budget - len(suffix)), suffix


def _end_of(text: str, room: int) -> str:
    """The last `room` characters or fewer, from the beginning of a line where there is one.

    The beginning goes in steps, as that of our own prompts does: what the server has read of them stays valid.
    """
    if len(text) <= room:
        return text
    step = max(1, room // prompts.STEPS)
    end = text[math.ceil((len(text) - room) / step) * step :]
    _, line_feed, lines = end.partition("\n")
    return lines if line_feed and lines else end


def spelled(removed: str) -> str:
    """A GBNF grammar of the texts that begin with `removed`."""
    escaped = "".join(
        letter if letter.isascii() and letter.isalnum() else f"\\U{ord(letter):08X}" for letter in removed
    )
    return f'root ::= "{escaped}" [^\\x00]*'
