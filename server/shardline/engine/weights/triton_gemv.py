"""Triton kernels: one row times packed weights, each read once.

Only for where Triton is installed, as it is with torch for CUDA on Linux. Sums are kept in 32 bits.
"""

import torch
import triton
from torch import Tensor
from triton import language as tl

ROWS = 4
"""Rows of the weight that one program multiplies."""

COLUMNS = 1024
"""Columns that one program reads at a time, of 8 bits."""

GROUPS = 64
"""Groups that one program reads at a time, of 4 bits."""


def int8(x: Tensor, values: Tensor, scales: Tensor) -> Tensor:
    """Multiply `x`, shape (1, in), by `values`, shape (out, in), and `scales`, shape (out,)."""
    out, columns = values.shape
    y = torch.empty(1, out, dtype=x.dtype, device=x.device)
    with torch.cuda.device_of(x):
        _int8[(triton.cdiv(out, ROWS),)](x, values, scales, y, out, columns, ROWS, COLUMNS)
    return y


def int4(x: Tensor, packed: Tensor, scales_and_zeros: Tensor) -> Tensor:
    """Multiply `x`, shape (1, in), by 4-bit weights laid out as in `gpu_products.multiply_int4`."""
    out, groups, half = packed.shape
    y = torch.empty(1, out, dtype=x.dtype, device=x.device)
    with torch.cuda.device_of(x):
        _int4[(triton.cdiv(out, ROWS),)](x, packed, scales_and_zeros, y, out, groups, ROWS, GROUPS, half)
    return y


@triton.jit
def _int8(x, values, scales, y, out, columns, rows: tl.constexpr, step: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
    real = row < out
    sums = tl.zeros((rows, step), tl.float32)
    for start in range(0, columns, step):
        column = start + tl.arange(0, step)
        inside = column < columns
        at = values + row[:, None] * columns + column[None, :]
        weight = tl.load(at, mask=real[:, None] & inside[None, :], other=0)
        sums += weight.to(tl.float32) * tl.load(x + column, mask=inside, other=0.0).to(tl.float32)[None, :]
    product = tl.sum(sums, 1) * tl.load(scales + row, mask=real, other=0.0).to(tl.float32)
    tl.store(y + row, product.to(y.dtype.element_ty), mask=real)


@triton.jit
def _int4(x, packed, both, y, out, groups, rows: tl.constexpr, step: tl.constexpr, half: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
    real = row < out
    inner = tl.arange(0, half)
    sums = tl.zeros((rows, step), tl.float32)
    for start in range(0, groups, step):
        group = start + tl.arange(0, step)
        inside = group < groups
        cell = row[:, None] * groups + group[None, :]
        known = real[:, None] & inside[None, :]
        pairs = tl.load(packed + cell[:, :, None] * half + inner[None, None, :], mask=known[:, :, None], other=0)
        at = x + group[:, None] * (2 * half) + inner[None, :]
        low = tl.load(at, mask=inside[:, None], other=0.0).to(tl.float32)
        high = tl.load(at + half, mask=inside[:, None], other=0.0).to(tl.float32)
        scale = tl.load(both + 2 * cell, mask=known, other=0.0).to(tl.float32)
        eight = tl.load(both + 2 * cell + 1, mask=known, other=0.0).to(tl.float32)
        steps = ((pairs & 15).to(tl.float32) - 8.0) * low[None, :, :]
        steps += ((pairs >> 4).to(tl.float32) - 8.0) * high[None, :, :]
        sums += scale * tl.sum(steps, 2) + eight * tl.sum(low + high, 1)[None, :]
    tl.store(y + row, tl.sum(sums, 1).to(y.dtype.element_ty), mask=real)
