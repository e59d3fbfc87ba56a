"""The compiled step: a few tokens through all layers, on torch's tensors."""

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Array, Structure, byref, c_double, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from shardline.engine.models.llama.config import Shape
from shardline.engine.models.llama.stage import Layer, Stage
from shardline.engine.weights.linear import GROUP, Dense, Int4, Int8, Linear, int4_block

MAX_ROWS = 8
"""Tokens of one step; torch runs more of them faster."""

WIDTH = 16
"""Numbers that the library loads at once."""


class _Matrix(Structure):
    _fields_ = (
        ("kind", c_int64),
        ("outs", c_int64),
        ("ins", c_int64),
        ("weight", c_void_p),
        ("scales", c_void_p),
        ("bias", c_void_p),
    )


class _Layer(Structure):
    _fields_ = (
        ("attention_norm", c_void_p),
        ("feed_norm", c_void_p),
        ("qkv", _Matrix),
        ("out", _Matrix),
        ("gate_up", _Matrix),
        ("down", _Matrix),
    )


class _Model(Structure):
    _fields_ = (
        *(
            (name, c_int64)
            for name in ("layers", "hidden", "inner", "heads", "kv_heads", "size", "capacity", "threads")
        ),
        ("epsilon", c_double),
        ("layer", POINTER(_Layer)),
        ("embedding", _Matrix),
        ("head", _Matrix),
        ("norm", c_void_p),
        ("cos", c_void_p),
        ("sin", c_void_p),
    )


class _Text(Structure):
    _fields_ = (
        ("rows", c_int64),
        ("start", c_int64),
        ("keys", POINTER(c_void_p)),
        ("values", POINTER(c_void_p)),
    )


@dataclass(frozen=True)
class Text:
    """The next tokens of a text, after `start` others; `keys` and `values` are the addresses for each layer."""

    ids: Sequence[int]
    start: int
    keys: Array[c_void_p]
    values: Array[c_void_p]


class CompiledStep:
    """A model of these parts in the library; their tensors must not move while it is used."""

    def __init__(
        self, library: Path, shape: Shape, *, embedding: Linear, stage: Stage, norm: Tensor, head: Linear, capacity: int
    ) -> None:
        self._kept: list[Tensor] = []
        self._shape, self._capacity = shape, capacity
        layers = [layer for layer in stage.layers if isinstance(layer, Layer)]
        self._layers = (_Layer * len(layers))(*map(self._layer, layers))
        table = (shape.vocabulary, shape.hidden)
        self._model = _Model(
            layers=len(layers),
            hidden=shape.hidden,
            inner=shape.inner,
            heads=shape.heads,
            kv_heads=shape.kv_heads,
            size=shape.head_size,
            capacity=capacity,
            threads=torch.get_num_threads(),
            epsilon=shape.epsilon,
            layer=self._layers,
            embedding=self._matrix(embedding, *table),
            head=self._matrix(head, *table),
            norm=_numbers(norm, shape.hidden),
            cos=_numbers(stage.cos, capacity, shape.head_size),
            sin=_numbers(stage.sin, capacity, shape.head_size),
        )
        self._library = ctypes.CDLL(str(library))
        self._library.shardline_open.restype = c_void_p
        self._step = c_void_p(self._library.shardline_open(byref(self._model)))

    def __del__(self) -> None:
        if hasattr(self, "_step"):
            self._library.shardline_close(self._step)

    def __call__(self, texts: Sequence[Text], *, every: bool) -> Tensor:
        """Run the ids of `texts`, at most `MAX_ROWS` together.

        Returns the logits, shape (ids, vocabulary), of the tokens after each; without `every` only the last, shape
        (1, vocabulary). Raises `IndexError` before the library reads or writes outside of the tensors.
        """
        ids = [token for text in texts for token in text.ids]
        longest = max(text.start + len(text.ids) for text in texts)
        if longest > self._capacity or len(ids) > MAX_ROWS or not 0 <= min(ids) <= max(ids) < self._shape.vocabulary:
            raise IndexError("there are too many tokens, or an id is unknown")
        first = 0 if every else len(ids) - 1
        logits = torch.empty(len(ids) - first, _rounded_up(self._shape.vocabulary))
        self._library.shardline_run(
            self._step,
            (c_int64 * len(ids))(*ids),
            (_Text * len(texts))(*(_Text(len(text.ids), text.start, text.keys, text.values) for text in texts)),
            c_int64(len(texts)),
            c_int64(first),
            c_void_p(logits.data_ptr()),
            c_int64(logits.shape[1]),
        )
        return logits[:, : self._shape.vocabulary]

    def _layer(self, layer: Layer) -> _Layer:
        shape = self._shape
        queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
        return _Layer(
            _numbers(layer.attention_norm, shape.hidden),
            _numbers(layer.feed_norm, shape.hidden),
            self._matrix(layer.qkv, queries + 2 * keys, shape.hidden),
            self._matrix(layer.out, shape.hidden, queries),
            self._matrix(layer.gate_up, 2 * shape.inner, shape.hidden),
            self._matrix(layer.down, shape.hidden, shape.inner),
        )

    def _matrix(self, linear: Linear, outs: int, ins: int) -> _Matrix:
        if not linear.has_size(outs, ins, torch.bfloat16):
            raise ValueError(f"a weight is not {outs} by {ins} in all its parts")
        bias = None if linear.bias is None else self._padded(linear.bias).data_ptr()
        if isinstance(linear, Int4):
            return _Matrix(2, outs, ins, linear.packed.data_ptr(), linear.scales_and_zeros.data_ptr(), bias)
        if isinstance(linear, Int8):
            scales = self._padded(linear.scales).data_ptr()
            return _Matrix(1, outs, ins, linear.values.data_ptr(), scales, bias)
        if isinstance(linear, Dense):
            return _Matrix(0, outs, ins, linear.weight.data_ptr(), None, bias)
        raise TypeError(f"{type(linear).__name__} has no place in the library")

    def _padded(self, numbers: Tensor) -> Tensor:
        """Return `numbers` padded with zeros, because the library loads several at once."""
        padded = torch.zeros(_rounded_up(len(numbers)), dtype=numbers.dtype)
        padded[: len(numbers)] = numbers
        self._kept.append(padded)
        return padded


def _numbers(tensor: Tensor, *size: int) -> int:
    """Return the address of `tensor`; raises `ValueError` if it is not contiguous bfloat16 of this size."""
    if tensor.shape != size or tensor.dtype != torch.bfloat16 or not tensor.is_contiguous():
        raise ValueError(f"a tensor has the shape {tuple(tensor.shape)}, not {size}")
    return tensor.data_ptr()


def addresses(tensors: Sequence[Tensor]) -> Array[c_void_p]:
    """Return the addresses of `tensors` for `Text`; they must not move while it is used."""
    return (c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def runs(shape: Shape, stage: Stage, *ends: Linear) -> bool:
    """Return whether the library can run a model of this one stage, with this embedding and head."""
    size = int4_block()
    if stage.device.type != "cpu" or stage.dtype != torch.bfloat16 or size is None:
        return False
    linears = [module for module in stage.modules() if isinstance(module, Linear)]
    packed = [linear.packed for linear in linears if isinstance(linear, Int4)]
    widths = (shape.hidden, shape.inner, shape.heads * shape.head_size)
    return (
        all(width % GROUP == 0 for width in widths)
        and shape.head_size % WIDTH == 0
        and all(len(weight) % size == 0 for weight in packed)
        and not (packed and shape.inner % size)
        and not any(isinstance(end, Int4) for end in ends)
    )


def _rounded_up(count: int) -> int:
    """Round up to a multiple of the outputs that a thread of the library computes at once."""
    return -(-count // (2 * WIDTH)) * 2 * WIDTH
