"""Text to token ids for one model, so that no text of a user is ever read as one of the model's signals."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Encoding, Tokenizer

from shardline.engine.checkpoint import Checkpoint, begin_ids, end_ids
from shardline.engine.infilling import Infilling, detect
from shardline.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from shardline.engine.models.shape import Config

GUARD = "☺"
"""Written in front of a text that goes on in a line, so that no tokenizer takes it for a beginning."""


@dataclass(frozen=True)
class Encoded:
    """Token ids, and for each where its letters begin and end in the text, found when first wanted."""

    ids: list[int]
    find_offsets: Callable[[], list[tuple[int, int]]]

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """A pair for each token; making many of them stops other threads."""
        return self.find_offsets()


class Codec:
    """The tokenizer of a model with what its ids mean."""

    def __init__(self, tokenizer: Tokenizer, config: "Config", folder: Path) -> None:
        self.tokenizer = tokenizer
        self.infilling: Infilling | None = detect(tokenizer, config)
        self.size: int = config.get("vocab_size") or tokenizer.get_vocab_size()
        """Ids from this one on are none that the model knows."""
        self.begin_ids: Sequence[int] = begin_ids(tokenizer)
        ends = end_ids(tokenizer, folder, config)
        sentinels = self.infilling.ids if self.infilling else frozenset()
        self.signals: frozenset[int] = ends | sentinels
        """Ids that are no text: where a model writes one of them, its text has ended."""
        names = {str(tokenizer.id_to_token(number)).removeprefix("▁") for number in self.signals}
        breaks = (f"(?<={re.escape(name[0])})(?={re.escape(name[1:])})" for name in names if len(name) > 1)
        self._inside_a_name = re.compile("|".join(breaks) or "(?!)")
        self._guard = len(tokenizer.encode(GUARD, add_special_tokens=False).ids)

    @classmethod
    def of(cls, source: Checkpoint) -> "Codec":
        """The codec of a checkpoint; raises `CheckpointError`."""
        return cls(source.tokenizer(), source.values, source.folder)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens as bytes; built when first wanted, in a tenth of a second for 50,000 tokens."""
        return Vocabulary(self.tokenizer, self.signals | set(self.begin_ids))

    def encode(self, text: str) -> Encoded:
        """Encode the beginning of a document."""
        encoding = self._encode([text])[0]
        if self.signals.isdisjoint(encoding.ids):
            return Encoded(encoding.ids, lambda: encoding.offsets)
        first, *rest = self._inside_a_name.split(text)  # so that no name of a signal is one token
        start = self._encode([first])[0]
        ids, offsets, at = list(start.ids), list(start.offsets), len(first)
        for piece, inner in zip(rest, self._encode_behind_guard(rest), strict=True):
            ids += inner.ids
            offsets += [(at + begin, at + end) for begin, end in inner.offsets]
            at += len(piece)
        return Encoded(ids, lambda: offsets)

    def encode_inner(self, text: str) -> list[int]:
        """Encode text that goes on in a line."""
        pieces = self._inside_a_name.split(text)
        return [token for inner in self._encode_behind_guard(pieces) for token in inner.ids]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, signals written by their names."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def spell(self, token: int) -> str:
        """The text of one token; a signal by its name, and a part of a letter as a replacement character."""
        return self.vocabulary.spelled(token).decode(errors="replace") or self.decode([token])

    def _encode_behind_guard(self, texts: Sequence[str]) -> list[Encoded]:
        return [self._without_guard(encoding) for encoding in self._encode([GUARD + text for text in texts])]

    def _without_guard(self, encoding: Encoding) -> Encoded:
        def find_offsets() -> list[tuple[int, int]]:
            return [(begin - len(GUARD), end - len(GUARD)) for begin, end in encoding.offsets[self._guard :]]

        return Encoded(encoding.ids[self._guard :], find_offsets)

    def _encode(self, texts: list[str]) -> list[Encoding]:
        """Encode texts in a batch, even a single one: only then are other threads not stopped meanwhile."""
        return self.tokenizer.encode_batch(texts, add_special_tokens=False)
