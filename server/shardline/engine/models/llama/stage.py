"""A stage: consecutive decoder layers of a Llama on one device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from shardline.engine.models.llama.config import Shape
from shardline.engine.weights.linear import Linear

Memory = Sequence[tuple[Tensor, Tensor]]
"""The keys and values of each layer of a stage, of shape (kv heads, capacity, head size)."""


@dataclass(frozen=True)
class Span:
    """The n tokens of one text that run, the same for all layers of a stage.

    `rows` are their indices, shape (n,), and `end` is the number of rows they look at. `mask`, shape (n, end), says
    which rows each token sees, or what to add to its scores; None shows all.
    """

    rows: Tensor
    end: int
    mask: Tensor | None


@dataclass(frozen=True)
class Place:
    """The places of all n tokens that run: `spans` of one text or several, one after the other.

    `cos` and `sin` are their rotary tables, shape (n, head size); `sin` is negated in its first half.
    """

    spans: Sequence[Span]
    cos: Tensor
    sin: Tensor


class Layer(nn.Module):
    """One decoder layer: attention, then a gated feed-forward, each added to its input."""

    attention_norm: Tensor
    feed_norm: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        attention_norm: Tensor,
        qkv: Linear,
        out: Linear,
        feed_norm: Tensor,
        gate_up: Linear,
        down: Linear,
    ) -> None:
        super().__init__()
        self._heads, self._kv_heads, self._size = shape.heads, shape.kv_heads, shape.head_size
        self._epsilon = shape.epsilon
        self.register_buffer("attention_norm", attention_norm)
        self.register_buffer("feed_norm", feed_norm)
        self.qkv, self.out, self.gate_up, self.down = qkv, out, gate_up, down

    def forward(self, x: Tensor, place: Place, known: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Run `x`, shape (n, hidden).

        `known` has the keys and values of each span's text; the new ones are written there.
        """
        x = x + self.out(self._attend(_norm(x, self.attention_norm, self._epsilon), place, known))
        gate, up = self.gate_up(_norm(x, self.feed_norm, self._epsilon)).chunk(2, 1)
        fed: Tensor = self.down(functional.silu(gate) * up)
        return x + fed

    def _attend(self, x: Tensor, place: Place, known: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        rotated = self._heads + self._kv_heads
        qkv = self.qkv(x).view(len(x), rotated + self._kv_heads, self._size).transpose(0, 1)
        qk, v = _rotate(qkv[:rotated], place.cos, place.sin), qkv[rotated:]
        if len(place.spans) == 1:
            return self._look(qk, v, place.spans[0], *known[0])
        counts = [len(span.rows) for span in place.spans]
        parts = zip(torch.split(qk, counts, 1), torch.split(v, counts, 1), place.spans, known, strict=True)
        return torch.cat([self._look(qk, v, span, *one) for qk, v, span, one in parts])

    def _look(self, qk: Tensor, v: Tensor, span: Span, keys: Tensor, values: Tensor) -> Tensor:
        """Return the attention of the tokens of one text, shape (n, heads * head size)."""
        keys.index_copy_(1, span.rows, qk[self._heads :])
        values.index_copy_(1, span.rows, v)
        known_keys, known_values = keys[None, :, : span.end], values[None, :, : span.end]
        count = len(span.rows)
        if count == 1:  # heads that share keys run as if they were several tokens
            query = qk[: self._heads].reshape(1, self._kv_heads, -1, self._size)
            seen = functional.scaled_dot_product_attention(query, known_keys, known_values, attn_mask=span.mask)
            return seen.reshape(1, -1)
        seen = functional.scaled_dot_product_attention(
            qk[None, : self._heads], known_keys, known_values, attn_mask=span.mask, enable_gqa=True
        )
        return seen[0].transpose(0, 1).reshape(count, -1)


class Stage(nn.Module):
    """The layers of one device, with rotary tables for `capacity` tokens."""

    cos: Tensor
    sin: Tensor

    def __init__(
        self, shape: Shape, layers: nn.ModuleList, *, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.layers = layers
        self.device, self.dtype = device, dtype
        angles = torch.outer(torch.arange(capacity).float(), shape.frequencies)
        angles = torch.cat((angles, angles), 1)
        self.register_buffer("cos", (angles.cos() * shape.rope_scale).to(device, dtype))
        self.register_buffer("sin", (angles.sin() * shape.rope_scale).to(device, dtype))

    def forward(self, x: Tensor, texts: Sequence[range], memories: Sequence[Memory]) -> Tensor:
        """Run `x`, shape (n, hidden): these tokens of one text or several, each with its memory."""
        spans = [self._span(text) for text in texts]
        rows = spans[0].rows if len(spans) == 1 else torch.cat([span.rows for span in spans])
        return self._read(x, rows, spans, memories)

    def step(self, x: Tensor, row: Tensor, *, length: int, memory: Memory) -> Tensor:
        """Run `x`, shape (1, hidden), as the token `row`, shape (1,), below `length`.

        Only tensors depend on the row, so that a CUDA graph can replay it.
        """
        ahead = torch.arange(length, device=x.device) > row
        mask = torch.zeros(1, length, dtype=x.dtype, device=x.device).masked_fill_(ahead, -torch.inf)
        return self._read(x, row, [Span(row, length, mask)], [memory])

    def _span(self, text: range) -> Span:
        rows = torch.arange(text.start, text.stop, device=self.device)
        mask = torch.arange(text.stop, device=self.device) <= rows.unsqueeze(1) if len(text) > 1 else None
        return Span(rows, text.stop, mask)

    def _read(self, x: Tensor, rows: Tensor, spans: Sequence[Span], memories: Sequence[Memory]) -> Tensor:
        before, after = self.sin[rows].chunk(2, 1)
        place = Place(spans, self.cos[rows], torch.cat((-before, after), 1))
        for layer, *known in zip(self.layers, *memories, strict=True):
            x = layer(x, place, known)
        return x


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return functional.rms_norm(x, (x.shape[-1],), weight, epsilon)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return the rotary embedding of `x`, shape (heads, n, head size), by halves (Su et al. 2021, arXiv:2104.09864)."""
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin
