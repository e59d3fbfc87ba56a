"""Part of a text that a prompt can hold, cut before encoding."""

from collections.abc import Iterator
from dataclasses import replace

from shardline.engine import Request

WIDTHS = (8, 32, 128)
"""Characters per token, tried in this order until they fill the prompt: code has 3 or 4, and the longest token 128."""


def ends(text: str, tokens: int) -> Iterator[str]:
    """Yield ends of `text`, longer and longer, of which the first with more than `tokens` tokens is enough.

    Each begins at a multiple of its width: while one types the beginning stays put, and so does the KV cache.
    """
    for characters in WIDTHS:
        start = _start(text, max(1, characters * tokens))
        yield text[start:]
        if not start:
            return


def beginnings(text: str, tokens: int) -> Iterator[str]:
    """Yield beginnings of `text`, longer and longer, of which the first with more than `tokens` tokens is enough."""
    for characters in WIDTHS:
        width = max(1, characters * tokens)
        yield text[:width]
        if len(text) <= width:
            return


def crop(request: Request, context_tokens: int) -> Request:
    """Return `request` without the text that no prompt of `context_tokens` can hold."""
    width = WIDTHS[-1] * context_tokens
    start = _start(request.prefix, width)
    return replace(request, prefix=request.prefix[start:], suffix=request.suffix[:width])


def _start(text: str, width: int) -> int:
    return max(0, len(text) // width - 1) * width
