"""Bits of each packed matrix, for the planner and the loader alike."""

from collections.abc import Mapping

from shardline.engine.weights.linear import GROUP

TABLES = ("model.embed_tokens", "lm_head")
"""Modules of which rows are looked up: `Int4` has no rows."""


def bits_of(weight: str, columns: int, quantization: str, stored: Mapping[str, int]) -> int | None:
    """Return the bits of the matrix named `weight` with so many columns, or None if it is not packed.

    `stored` has the bits of those that a GGUF file packs; `model.quantization` overrides them, unless it is none.
    """
    is_table = weight.removesuffix(".weight") in TABLES
    if quantization == "none":
        bits = stored.get(weight)
        return None if is_table and bits == 4 else bits
    return 4 if quantization == "int4" and not is_table and columns % GROUP == 0 else 8
