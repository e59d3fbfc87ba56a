"""Packed weights laid out for a GPU multiply as what they stand for, by parts and in Triton's interpreter."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from shardline.engine.weights.cuda_matmul import PART, multiply_int4, multiply_int8
from shardline.engine.weights.linear import Int8
from tests.engine.packed_samples import SIZES, four_bits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("out", "columns"), SIZES)
@pytest.mark.parametrize("rows", [1, 5])
def test_they_multiply_as_what_they_stand_for(out: int, columns: int, rows: int, dtype: torch.dtype) -> None:
    packed, both, weight = four_bits(out, columns, dtype)
    x = torch.randn(rows, columns).to(dtype)
    near = {"atol": 100 * torch.finfo(dtype).eps * columns**0.5, "rtol": 0.0}
    torch.testing.assert_close(multiply_int4(x, packed, both).float(), x.float() @ weight.T, **near)
    bytes_ = Int8.pack(weight.to(dtype))
    dense = bytes_.values.float() * bytes_.scales.float().unsqueeze(1)
    torch.testing.assert_close(multiply_int8(x, bytes_.values, bytes_.scales).float(), x.float() @ dense.T, **near)


def test_a_large_weight_is_unpacked_in_parts() -> None:
    columns = PART // 2
    values, x = torch.randint(-127, 128, (3, columns), dtype=torch.int8), torch.randn(2, columns)
    expected = x @ values.float().T
    torch.testing.assert_close(multiply_int8(x, values, torch.ones(3)), expected, atol=1.0, rtol=1e-4)


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernels_say_the_same() -> None:
    command = [sys.executable, "-m", "tests.engine.interpreted_kernels"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TRITON_INTERPRET": "1"})
    assert not done.returncode, done.stderr
