"""From the text around the cursor to a prompt in token ids."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shardline.engine import Request, window
from shardline.engine.tokenization.infilling import PREFIX, SUFFIX
from shardline.engine.tokenization.token_bytes import Vocabulary
from shardline.engine.tokenization.tokenizer import Codec, Encoded
from shardline.errors import PromptError

STEPS = 4
"""A prefix that is too long loses its beginning in quarters of its room: while one types the edge stays put, so
the KV cache stays valid, and jumps only now and then."""

SUFFIX_SHARE = 4
"""Divisor of the budget: the suffix's part where prefix and suffix together are too long."""

MAX_TOKENS = 8
"""A word of more tokens than this is cut back only this far."""

_WORD = re.compile(r"\w*\Z")


def prompt_budget(context_tokens: int, max_tokens: int) -> int:
    """Return the most tokens of a prompt: the context less `max_tokens`, but at least half of it."""
    return context_tokens - min(max_tokens, context_tokens // 2)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Prompt of a model: `ids`, at most `budget` of them.

    `removed` is the end of the prefix that healing took off, and that the model has to write again first.
    `format` is "prefix", "psm" or "spm".
    """

    format: str
    ids: list[int]
    removed: str
    prefix_tokens: int
    suffix_tokens: int
    budget: int


def build(request: Request, codec: Codec, *, budget: int) -> Prompt:
    """Encode the prefix and, for a model that can infill, the suffix; both kept nearest to the cursor.

    Exact `prompt_ids` are taken as they are; raises `PromptError` where the model cannot read them.
    CodeLlama's formats are those of Bavarian et al. 2022 (arXiv:2207.14255) as its authors' code writes them.
    """
    if request.prompt_ids:
        return _exactly(request.prompt_ids, codec, budget=budget)
    infilling = codec.infilling if request.infilling != "off" and request.suffix.strip() else None
    text, encoded = _encode_end(request.prefix, codec, budget)
    keep = cut_back(text, encoded, codec.vocabulary) if request.healing else len(encoded.ids)
    removed = text[encoded.offsets[keep][0] :] if keep < len(encoded.ids) else ""
    prefix = encoded.ids[:keep]
    if infilling is None:
        prefix = _end_of(prefix, budget - len(codec.begin_ids))
        ids = [*codec.begin_ids, *prefix]
        return Prompt(
            format="prefix",
            ids=ids or list(codec.blank),
            removed=removed,
            prefix_tokens=len(prefix),
            suffix_tokens=0,
            budget=budget,
        )
    name = infilling.choose(request.infilling)
    template = infilling.family.templates[name]
    suffix = _encode_beginning(request.suffix, codec.encode_inner, budget)
    room = budget - len(codec.begin_ids) - len(template) + 2
    if len(prefix) + len(suffix) > room:
        suffix = suffix[: room // SUFFIX_SHARE]
    prefix = _end_of(prefix, room - len(suffix))
    parts = {PREFIX: prefix, SUFFIX: suffix, **{part: [number] for part, number in infilling.sentinels.items()}}
    return Prompt(
        format=name,
        ids=[*codec.begin_ids, *(token for part in template for token in parts[part])],
        removed=removed,
        prefix_tokens=len(prefix),
        suffix_tokens=len(suffix),
        budget=budget,
    )


def cut_back(text: str, encoded: Encoded, vocabulary: Vocabulary) -> int:
    """Return how many tokens of `encoded`, the encoding of `text`, to keep.

    The last token goes, and as many more as the word at the end of the text has. Tokens stay that do not stand
    for exactly their part of the text, as where a tokenizer adds a space in front or does not know a character.
    """
    word = _WORD.search(text)
    word_start = word.start() if word else len(text)
    spelled, keep = b"", len(encoded.ids)
    for index in reversed(range(max(0, keep - MAX_TOKENS), keep)):
        start = encoded.offsets[index][0]
        spelled = vocabulary.spelled(encoded.ids[index]) + spelled
        if spelled == text[start:].encode():  # else in the middle of a character, or not the text itself
            keep = index
            if start <= word_start:
                break
    return keep


def _exactly(ids: Sequence[int], codec: Codec, *, budget: int) -> Prompt:
    if len(ids) > budget:
        raise PromptError(
            f"The prompt has {len(ids)} tokens, and of the context {budget} are for it; ask for fewer tokens, shorten "
            "the prompt, or raise model.contextTokens."
        )
    unknown = [token for token in ids if not 0 <= token < codec.size]
    if unknown:
        raise PromptError(f"The prompt has the token {unknown[0]}; the model knows those from 0 to {codec.size - 1}.")
    return Prompt(format="prefix", ids=list(ids), removed="", prefix_tokens=len(ids), suffix_tokens=0, budget=budget)


def known_ahead(request: Request, codec: Codec, *, budget: int) -> list[int]:
    """Return the token ids of a prompt that can be prefilled before it is requested: all but the last.

    Where nothing stands before the cursor, it is taken to move down: what all prompts then begin with is the start of
    the document, as much of it as the longest prefix may have. With the suffix first they have nothing in common.
    """
    if request.prefix or request.prompt_ids:
        return build(request, codec, budget=budget).ids[:-1]
    head: list[int] = []
    if codec.infilling and request.infilling != "off":
        template = codec.infilling.family.templates[codec.infilling.choose(request.infilling)]
        before = template[: template.index(PREFIX)]
        if SUFFIX in before:
            return []
        head = [codec.infilling.sentinels[part] for part in before]
        budget -= budget // SUFFIX_SHARE + len(template)
    head = [*codec.begin_ids, *head]
    room = budget - len(head)
    return [*head, *_encode_beginning(request.suffix, lambda text: codec.encode(text).ids, room)[:room]]


def _encode_end(text: str, codec: Codec, room: int) -> tuple[str, Encoded]:
    """Encode as much of the end of `text` as fills `room`, also after healing; returns that end and its tokens.

    Where it is cut, tokens may differ from those of the whole text; they are the first ones, which then have no room.
    """
    for end in window.ends(text, room):
        encoded = codec.encode(end)
        if len(encoded.ids) > room + MAX_TOKENS:
            break
    return end, encoded


def _encode_beginning(text: str, encode: Callable[[str], list[int]], room: int) -> list[int]:
    """Encode as much of the beginning of `text` as has more tokens than `room`."""
    for beginning in window.beginnings(text, room):
        ids = encode(beginning)
        if len(ids) > room:
            break
    return ids


def _end_of(ids: list[int], room: int) -> list[int]:
    if len(ids) <= room:
        return ids
    step = max(1, room // STEPS)
    return ids[math.ceil((len(ids) - room) / step) * step :]
