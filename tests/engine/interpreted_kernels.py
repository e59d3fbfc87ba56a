"""Runs the kernels of `gemv` in Triton's interpreter, which must be chosen before Triton is imported."""

import torch

from shardline.engine.weights import triton_gemv
from shardline.engine.weights.linear import Int8
from tests.engine.packed_samples import SIZES, four_bits

for out, columns in SIZES:
    packed, both, weight = four_bits(out, columns, torch.float32)
    x = torch.randn(1, columns)
    torch.testing.assert_close(triton_gemv.int4(x, packed, both), x @ weight.T, atol=1e-3, rtol=1e-4)
    table = Int8.pack(weight)
    dense = table.values.float() * table.scales.unsqueeze(1)
    torch.testing.assert_close(triton_gemv.int8(x, table.values, table.scales), x @ dense.T, atol=1e-3, rtol=1e-4)
