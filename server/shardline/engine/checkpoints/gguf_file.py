"""GGUF files, opened after their header is checked.

The gguf package makes as many objects as a file says that it has. Source: the format's specification, in ggml's
docs/gguf.md.
"""

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import gguf
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFValueType as Type

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_TENSORS = 2**17
MAX_FIELDS = 2**16
MAX_ITEMS = 2**21
"""Limit for all arrays together: large vocabularies have 300,000 tokens, scores, types and merges each."""
MAX_DIMENSIONS = 4
MAX_NAME = 2**16
DEFAULT_ALIGNMENT = 32

SCALARS: Mapping[Type, int] = {
    **dict.fromkeys((Type.UINT8, Type.INT8, Type.BOOL), 1),
    **dict.fromkeys((Type.UINT16, Type.INT16), 2),
    **dict.fromkeys((Type.UINT32, Type.INT32, Type.FLOAT32), 4),
    **dict.fromkeys((Type.UINT64, Type.INT64, Type.FLOAT64), 8),
}
"""Types of one size, with their bytes."""


def open_gguf(file: Path) -> gguf.GGUFReader:
    """Open a GGUF file; raises an error, max_countly `ValueError`, for one that is damaged."""
    with file.open("rb") as opened:
        _Header(opened, file.stat().st_size).check()
    return gguf.GGUFReader(file)


class _Header:
    """Goes once through the beginning of a file, and never beyond its end."""

    def __init__(self, opened: BinaryIO, size: int) -> None:
        self._opened = opened
        self._size = size
        self._at = 0
        self._items = 0
        self._alignment = DEFAULT_ALIGNMENT

    def check(self) -> None:
        """Raise `ValueError` where something announced is not there."""
        if self._bytes(4) != MAGIC:
            raise ValueError("it does not begin as a GGUF file does")
        version = self._number("I")
        if version not in VERSIONS:
            raise ValueError(f"version {version} of the format cannot be read, or not on this CPU")
        tensors, fields = self._number("Q"), self._number("Q")
        if tensors > MAX_TENSORS or fields > MAX_FIELDS:
            raise ValueError(f"it announces {tensors} tensors and {fields} fields")
        for _ in range(fields):
            name = self._bytes(self._count(MAX_NAME))
            self._skip_value(Type(self._number("I")), is_alignment=name == b"general.alignment")
        ends = [self._tensor_end() for _ in range(tensors)]
        data = -(-self._at // self._alignment) * self._alignment
        if data + max(ends, default=0) > self._size:
            raise ValueError(f"its tensors end at byte {data + max(ends)}, and it has {self._size}")

    def _skip_value(self, kind: Type, *, is_alignment: bool = False) -> None:
        if is_alignment and kind == Type.UINT32:
            self._alignment = self._number("I")
            if self._alignment.bit_count() != 1:
                raise ValueError(f"its tensors are aligned to {self._alignment} bytes")
        elif kind == Type.STRING:
            self._skip(self._number("Q"))
        elif kind == Type.ARRAY:
            self._skip_array()
        else:
            self._skip(SCALARS[kind])

    def _skip_array(self) -> None:
        kind, count = Type(self._number("I")), self._number("Q")
        self._items += count
        if kind == Type.ARRAY or self._items > MAX_ITEMS:
            raise ValueError(f"it announces arrays of {self._items} items, or arrays in arrays")
        if kind == Type.STRING:
            for _ in range(count):
                self._skip(self._number("Q"))
        else:
            self._skip(count * SCALARS[kind])

    def _tensor_end(self) -> int:
        """Return the offset of a tensor's end, counted from the first tensor."""
        self._skip(self._count(MAX_NAME))
        sizes = [self._number("Q") for _ in range(self._count(MAX_DIMENSIONS, "I"))]
        block, width = gguf.GGML_QUANT_SIZES[Kind(self._number("I"))]
        offset, count = self._number("Q"), math.prod(sizes)
        if not sizes or not count or sizes[0] % block:
            raise ValueError(f"a tensor has the shape {sizes}")
        return int(offset + count // block * width)

    def _count(self, max_count: int, kind: str = "Q") -> int:
        count = self._number(kind)
        if count > max_count:
            raise ValueError(f"it announces {count} where {max_count} are the most")
        return count

    def _number(self, kind: str) -> int:
        (number,) = struct.unpack(f"<{kind}", self._bytes(struct.calcsize(kind)))
        return int(number)

    def _bytes(self, count: int) -> bytes:
        self._skip(count)
        self._opened.seek(self._at - count)
        return self._opened.read(count)

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > self._size:
            raise ValueError("it ends too early")
