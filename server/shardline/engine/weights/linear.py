"""Linear layers, dense or packed in 8 or 4 bits.

Only weights are packed; activations and sums keep the model's dtype.
"""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from shardline.engine.weights import cuda_matmul

GROUP = 32
"""Weights of a row that share a scale in 4 bits, as in GGUF's Q4_0 and Q4_1."""


ALIGNMENT = 64
"""Bytes that packed weights must begin at a multiple of."""


BLOCKS = (64, 32)
"""Outputs that torch may put into a block of 4-bit weights, by the CPU's instructions."""


Parts = Mapping[str, tuple[tuple[int, ...], torch.dtype]]


class Linear(nn.Module):
    """Multiplies by a weight of shape (out features, in features), and adds a bias if there is one."""

    def __init__(self, bias: Tensor | None) -> None:
        super().__init__()
        self.bias: Tensor | None
        self.register_buffer("bias", bias)

    def has_size(self, outs: int, ins: int, dtype: torch.dtype) -> bool:
        """Whether this is `outs` by `ins` in all its parts, as a CPU has them, with real numbers of this dtype."""
        expected = {**self._parts(outs, ins, dtype), "bias": ((outs,), dtype)}
        return all(
            (tuple(part.shape), part.dtype) == expected[name] and part.is_contiguous()
            for name, part in self.named_buffers()
        )

    def _parts(self, outs: int, ins: int, dtype: torch.dtype) -> Parts:
        """Return the shape and the dtype of each buffer but the bias."""
        raise NotImplementedError

    def _with_bias(self, y: Tensor) -> Tensor:
        return y if self.bias is None else y + self.bias


class Dense(Linear):
    """Weights as they are."""

    weight: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__(bias)
        self.register_buffer("weight", weight)

    def _parts(self, outs: int, ins: int, dtype: torch.dtype) -> Parts:
        return {"weight": ((outs, ins), dtype)}

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x`, shape (n, in features)."""
        return functional.linear(x, self.weight, self.bias)

    def rows(self, ids: Tensor) -> Tensor:
        """Return the rows `ids` of the weight, shape (n, in features)."""
        return functional.embedding(ids, self.weight)


class Int8(Linear):
    """Weights as 8-bit numbers, with a scale for each row."""

    values: Tensor
    scales: Tensor

    def __init__(self, values: Tensor, scales: Tensor, bias: Tensor | None = None) -> None:
        super().__init__(bias)
        self.register_buffer("values", _aligned(values))
        self.register_buffer("scales", scales)

    def _parts(self, outs: int, ins: int, dtype: torch.dtype) -> Parts:
        return {"values": ((outs, ins), torch.int8), "scales": ((outs,), dtype)}

    @classmethod
    def pack(cls, weight: Tensor, bias: Tensor | None = None) -> "Int8":
        """Round each row of `weight` to 255 steps."""
        scales = weight.float().abs().amax(1).clamp(min=1e-8) / 127
        values = (weight.float() / scales.unsqueeze(1)).round().to(torch.int8)
        return cls(values, scales.to(weight.dtype), bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x`, shape (n, in features)."""
        multiply = cuda_matmul.multiply_int8 if x.is_cuda else torch.ops.aten._weight_int8pack_mm
        return self._with_bias(multiply(x, self.values, self.scales))

    def rows(self, ids: Tensor) -> Tensor:
        """Return the rows `ids` of the weight, shape (n, in features)."""
        return self.values[ids].to(self.scales.dtype) * self.scales[ids].unsqueeze(1)


class Int4(Linear):
    """Weights as numbers from 0 to 15; each group of 32 in a row has a scale and what the number 8 stands for."""

    packed: Tensor
    scales_and_zeros: Tensor

    def __init__(self, packed: Tensor, scales_and_zeros: Tensor, bias: Tensor | None = None) -> None:
        super().__init__(bias)
        self.register_buffer("packed", _aligned(packed))
        self.register_buffer("scales_and_zeros", scales_and_zeros)

    def _parts(self, outs: int, ins: int, dtype: torch.dtype) -> Parts:
        return {"packed": ((outs, ins // 2), torch.uint8), "scales_and_zeros": ((ins // GROUP, outs, 2), dtype)}

    @classmethod
    def pack(cls, weight: Tensor, bias: Tensor | None = None) -> "Int4":
        """Round each group of `weight` to 16 steps between its low and its largest."""
        groups = weight.float().view(len(weight), -1, GROUP)
        low, high = groups.aminmax(dim=2)
        scales = ((high - low) / 15).clamp(min=1e-8)
        numbers = ((groups - low.unsqueeze(2)) / scales.unsqueeze(2)).round().clamp(0, 15)
        return cls.of(numbers.flatten(1).to(torch.int32), scales, low + 8 * scales, weight.dtype, bias)

    @classmethod
    def of(cls, numbers: Tensor, scales: Tensor, zeros: Tensor, dtype: torch.dtype, bias: Tensor | None) -> "Int4":
        """Take `numbers`, shape (out, in), as they are; `scales` and `zeros` have shape (out, groups)."""
        both = torch.stack([scales, zeros], 2).to(dtype)
        if numbers.is_cuda:
            return cls(cuda_matmul.pack_int4(numbers.view(len(numbers), -1, GROUP)), both, bias)
        return cls(pack_int4(numbers), both.transpose(0, 1).contiguous(), bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x`, shape (n, in features)."""
        if x.is_cuda:
            return self._with_bias(cuda_matmul.multiply_int4(x, self.packed, self.scales_and_zeros))
        multiply = torch.ops.aten._weight_int4pack_mm_for_cpu if x.is_cpu else torch.ops.aten._weight_int4pack_mm
        return self._with_bias(multiply(x, self.packed, GROUP, self.scales_and_zeros))


def _aligned(tensor: Tensor) -> Tensor:
    """Copy the tensor to where the kernels can read it: with memory mapped from a file they may kill the process."""
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def packed_bytes(bits: int, weight: Tensor, itemsize: int) -> int:
    """Return the bytes of `weight` in 4 or 8 bits, where a real number takes `itemsize`."""
    if bits == 8:
        return weight.numel() + len(weight) * itemsize
    return weight.numel() // 2 + 2 * itemsize * (weight.numel() // GROUP)


def pack_int4(numbers: Tensor) -> Tensor:
    """Numbers from 0 to 15, of shape (out, in), as the kernels of their device want them."""
    if numbers.device.type == "cpu":
        packed: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers, 1)
    else:
        pairs = (numbers[:, ::2] << 4 | numbers[:, 1::2]).to(torch.uint8)
        packed = torch.ops.aten._convert_weight_to_int4pack(pairs, 8)
    return packed


@cache
def int4_block() -> int | None:
    """Return the outputs in a block of torch's 4-bit weights here, or None for another layout."""
    for size in BLOCKS:
        numbers = torch.zeros(2 * size, GROUP, dtype=torch.int32)
        numbers[size // 2, 0] = 15
        packed = pack_int4(numbers)
        if packed.flatten()[0] == 15 << 4:
            return size
    return None
