"""Tensors of a GGUF file by Hugging Face names, 4-bit blocks unchanged."""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy
import torch
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray
from torch import Tensor

from shardline.engine.checkpoints.gguf_file import open_gguf
from shardline.engine.checkpoints.gguf_names import stored_name
from shardline.engine.weights.linear import GROUP, Int4, Int8, Linear


class GgufWeights:
    """Weights of a Llama-like model in a GGUF file, computed in `dtype`."""

    def __init__(self, file: Path, dtype: torch.dtype, *, heads: int, kv_heads: int) -> None:
        reader = open_gguf(file)
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._dtype = dtype
        interleaved = str(reader.fields["general.architecture"].contents()) == "llama"
        self._heads = {"q_proj": heads, "k_proj": kv_heads} if interleaved else {}
        """Projections of which the file has the rows of each head in another order, for rotary pairs side by side."""

    def tensor(self, name: str) -> Tensor | None:
        """Return a tensor on the CPU, unpacked, or None where there is none of this name."""
        stored = self._tensors.get(stored_name(name))
        if stored is None:
            return None
        dense = torch.from_numpy(gguf.dequantize(stored.data, stored.tensor_type).copy())
        return dense[self._rows(name, len(dense))]

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor, unread; None where there is none of this name."""
        stored = self._tensors.get(stored_name(name))
        return None if stored is None else tuple(int(size) for size in reversed(stored.shape))

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:
        """Return the modules `names`, one under the other, where all have 4 bits, or 8; else None."""
        stored = [self._tensors.get(stored_name(f"{name}.weight")) for name in names]
        kinds = {tensor.tensor_type for tensor in stored if tensor is not None}
        if None in stored or any(stored_name(f"{name}.bias") in self._tensors for name in names):
            return None
        if kinds == {Kind.Q8_0}:
            dense = [weight for name in names if (weight := self.tensor(f"{name}.weight")) is not None]
            return Int8.pack(torch.cat(dense).to(device, self._dtype))
        if not kinds <= {Kind.Q4_0, Kind.Q4_1}:
            return None
        parts = [
            [part[self._rows(name, len(part))] for part in _four_bits(tensor.data, tensor.tensor_type)]
            for name, tensor in zip(names, stored, strict=True)
            if tensor is not None
        ]
        numbers, scales, zeros = (torch.cat(column).to(device) for column in zip(*parts, strict=True))
        return Int4.of(numbers, scales, zeros, self._dtype, None)

    def _rows(self, name: str, count: int) -> Tensor:
        """Return the order in which to take the rows of a tensor."""
        module = name.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2]
        heads = self._heads.get(module)
        rows = torch.arange(count)
        return rows if heads is None else rows.view(heads, -1, 2).transpose(1, 2).flatten()


def _four_bits(blocks: NDArray[numpy.uint8], kind: Kind) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers from 0 to 15, scales, and what 8 stands for, of rows of blocks.

    A block is a 16-bit scale, in Q4_1 a 16-bit least value, and 16 bytes: the low halves are its first 16 numbers,
    the high halves its last. Source: ggml's block_q4_0 and block_q4_1.
    """
    head = 2 if kind == Kind.Q4_0 else 4
    rows = torch.from_numpy(blocks.copy()).view(len(blocks), -1, head + GROUP // 2)
    halves = rows[:, :, :head].contiguous().view(torch.float16).float()
    scales = halves[:, :, 0]
    zeros = torch.zeros_like(scales) if kind == Kind.Q4_0 else halves[:, :, 1] + 8 * scales
    nibbles = rows[:, :, head:]
    numbers = torch.cat((nibbles & 15, nibbles >> 4), 2).flatten(1).to(torch.int32)
    return numbers, scales, zeros
