"""Text to token ids; user text never becomes a special token."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Encoding, Tokenizer

from shardline.engine import panics
from shardline.engine.checkpoints.checkpoint import Checkpoint
from shardline.engine.checkpoints.config_values import MAX_VOCABULARY
from shardline.engine.checkpoints.json_file import read_object
from shardline.engine.tokenization.infilling import Infilling, detect
from shardline.engine.tokenization.token_bytes import Vocabulary
from shardline.errors import CheckpointError, PromptError, first_line

if TYPE_CHECKING:
    from shardline.engine.checkpoints.config_values import Config

GUARD = "☺"
"""Written in front of a text that goes on in a line, so that no tokenizer takes it for a beginning."""


@dataclass(frozen=True)
class Encoded:
    """Token ids, and for each where its characters begin and end in the text, found when first wanted."""

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
        self._refuse_another_models(tokenizer)
        self.begin_ids: Sequence[int] = [token for token in begin_ids(tokenizer) if token < self.size]
        ends = end_ids(tokenizer, folder, config)
        sentinels = self.infilling.ids if self.infilling else frozenset()
        self.signals: frozenset[int] = frozenset(token for token in ends | sentinels if token < self.size)
        """Ids that are no text: where a model writes one of them, its text has ended."""
        self.blank: Sequence[int] = sorted(self.signals)[:1] or [0]
        """Read where nothing stands before the cursor, as after the end of another text."""
        unknown = {token for token in tokenizer.get_added_tokens_decoder() if token >= self.size}
        named = (tokenizer.id_to_token(number) for number in self.signals | unknown)
        names = {name.removeprefix("▁") for name in named if name}
        breaks = (f"(?<={re.escape(name[0])})(?={re.escape(name[1:])})" for name in names if len(name) > 1)
        self._inside_a_name = re.compile("|".join(breaks) or "(?!)")
        self._guard = len(self._encode([GUARD])[0].ids)

    @classmethod
    def of(cls, source: Checkpoint) -> "Codec":
        """Return the codec of a checkpoint; raises `CheckpointError`."""
        try:
            return cls(source.tokenizer(), source.values, source.folder)
        except PromptError as error:
            raise CheckpointError(f"model.name: the tokenizer of {source.name} cannot be used. {error}") from error

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens as bytes; built when first wanted, in a tenth of a second for 50,000 tokens."""
        return Vocabulary(self.tokenizer, self.signals | set(self.begin_ids))

    def encode(self, text: str) -> Encoded:
        """Encode the beginning of a document; raises `PromptError`."""
        encoding = self._encode([text])[0]
        if self.signals.isdisjoint(encoding.ids) and max(encoding.ids, default=0) < self.size:
            return Encoded(encoding.ids, lambda: encoding.offsets)
        first, *rest = self._inside_a_name.split(text)  # so that no name of a signal is one token
        start = self._encode([first])[0]
        ids, offsets, at = list(start.ids), list(start.offsets), len(first)
        for piece, inner in zip(rest, self._encode_behind_guard(rest), strict=True):
            ids += inner.ids
            offsets += [(at + begin, at + end) for begin, end in inner.offsets]
            at += len(piece)
        # What no splitting turns into tokens that the model knows is left out.
        known = [(token, place) for token, place in zip(ids, offsets, strict=True) if token < self.size]
        return Encoded([token for token, _ in known], lambda: [place for _, place in known])

    def encode_inner(self, text: str) -> list[int]:
        """Encode text that goes on in a line; raises `PromptError`."""
        pieces = self._inside_a_name.split(text)
        return [token for inner in self._encode_behind_guard(pieces) for token in inner.ids if token < self.size]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; signals are written by their names."""
        with panics.as_errors():
            text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def spell(self, token: int) -> str:
        """Return the text of one token; a signal by its name, part of a character as a replacement character."""
        return self.vocabulary.spelled(token).decode(errors="replace") or self.decode([token])

    def _encode_behind_guard(self, texts: Sequence[str]) -> list[Encoded]:
        return [self._without_guard(encoding) for encoding in self._encode([GUARD + text for text in texts])]

    def _without_guard(self, encoding: Encoding) -> Encoded:
        def find_offsets() -> list[tuple[int, int]]:
            return [(begin - len(GUARD), end - len(GUARD)) for begin, end in encoding.offsets[self._guard :]]

        return Encoded(encoding.ids[self._guard :], find_offsets)

    def _encode(self, texts: list[str]) -> list[Encoding]:
        """Encode texts, in ids that the model may not know; raises `PromptError` where the tokenizer cannot.

        A pattern of a tokenizer that goes back too often ends as a panic. A batch, even of a single text, lets other
        threads run meanwhile.
        """
        try:
            with panics.as_errors():
                return self.tokenizer.encode_batch(texts, add_special_tokens=False)
        except Exception as error:
            raise PromptError(f"The model's tokenizer cannot read the prompt ({first_line(error)}).") from error

    def _refuse_another_models(self, tokenizer: Tokenizer) -> None:
        count = tokenizer.get_vocab_size(with_added_tokens=False)
        if count > self.size:
            raise CheckpointError(
                f"model.name: the tokenizer has {count} tokens and the model knows {self.size}; it is another model's."
            )


def begin_ids(tokenizer: Tokenizer) -> list[int]:
    """Return the ids that open every prompt: those the tokenizer puts before a text (for CodeLlama, `<s>`)."""
    with_specials: Sequence[int] = tokenizer.encode("a", add_special_tokens=True).ids
    plain: Sequence[int] = tokenizer.encode("a", add_special_tokens=False).ids
    opening = list(with_specials[: len(with_specials) - len(plain)])
    return opening if [*opening, *plain] == list(with_specials) else []


def end_ids(tokenizer: Tokenizer, folder: Path, config: "Config") -> frozenset[int]:
    """Return the ids that end a text: those of the config and generation config, and all other special tokens."""
    named = [config.get("eos_token_id")]
    generation = folder / "generation_config.json"
    if generation.exists():
        named.append(read_object(generation).get("eos_token_id"))
    tokens = [token for item in named for token in (item if isinstance(item, list) else [item])]
    ends = {
        token
        for token in tokens
        if isinstance(token, int) and not isinstance(token, bool) and 0 <= token < MAX_VOCABULARY
    }
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return frozenset(ends | special)
