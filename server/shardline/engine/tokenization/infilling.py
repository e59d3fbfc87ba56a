"""Infilling formats of the model families.

A format counts only where each of its sentinels is a single token of the model's vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from shardline.setting_values import InfillingFormat

if TYPE_CHECKING:
    from shardline.engine.checkpoints.config_values import Config

PREFIX, SUFFIX = "{prefix}", "{suffix}"

Template = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Templates of sentinels around `PREFIX` and `SUFFIX`; the first one is what the family does best.

    SPM puts the prefix last, so that typing appends to the prompt and nearly all of the KV cache holds.
    """

    name: str
    templates: Mapping[str, Template]
    ends: Sequence[str] = ()
    """Tokens that end the middle, beside the model's own."""


def _both(before: str, between: str, middle: str) -> dict[str, Template]:
    return {
        "psm": (before, PREFIX, between, SUFFIX, middle),
        "spm": (before, between, SUFFIX, middle, PREFIX),
    }


CODELLAMA = Family(
    name="CodeLlama",
    templates=dict(reversed(_both("▁<PRE>", "▁<SUF>", "▁<MID>").items())),
    ends=("▁<EOT>",),
)
FAMILIES = (
    Family(name="StarCoder", templates=_both("<fim_prefix>", "<fim_suffix>", "<fim_middle>")),
    Family(name="Qwen, CodeGemma", templates=_both("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")),
    Family(
        name="DeepSeek",
        templates={"psm": ("<｜fim▁begin｜>", PREFIX, "<｜fim▁hole｜>", SUFFIX, "<｜fim▁end｜>")},
    ),
    Family(name="Codestral", templates={"spm": ("[SUFFIX]", SUFFIX, "[PREFIX]", PREFIX)}),
)

CODELLAMA_VOCABULARY = 32016
"""Only the CodeLlamas trained to infill, 7B and 13B, base and Instruct, have these many rows of embeddings..."""
CODELLAMA_70B_WIDTH = 8192
"""...and the 70B, of which the sources disagree."""


@dataclass(frozen=True, kw_only=True)
class Infilling:
    """A family's format with the ids of one vocabulary."""

    family: Family
    sentinels: Mapping[str, int]
    ends: frozenset[int]

    @property
    def ids(self) -> frozenset[int]:
        """All ids that are signals of the format."""
        return self.ends | frozenset(self.sentinels.values())

    def choose(self, asked: InfillingFormat) -> str:
        """Return the format for `completion.infilling`: the one asked for, else the family's best."""
        return asked if asked in self.family.templates else next(iter(self.family.templates))


def detect(tokenizer: Tokenizer, config: "Config") -> Infilling | None:
    """Return the infilling format of a model, or None for one that only reads the prefix."""
    vocabulary = config.get("vocab_size") or tokenizer.get_vocab_size()
    is_codellama = vocabulary == CODELLAMA_VOCABULARY and config.get("hidden_size") != CODELLAMA_70B_WIDTH
    for family in (*((CODELLAMA,) if is_codellama else ()), *FAMILIES):
        names = {part for template in family.templates.values() for part in template} - {PREFIX, SUFFIX}
        ids = {name: tokenizer.token_to_id(name) for name in names}
        sentinels = {name: number for name, number in ids.items() if number is not None and number < vocabulary}
        if len(sentinels) == len(names):
            ends = (tokenizer.token_to_id(end) for end in family.ends)
            return Infilling(family=family, sentinels=sentinels, ends=frozenset(end for end in ends if end is not None))
    return None
