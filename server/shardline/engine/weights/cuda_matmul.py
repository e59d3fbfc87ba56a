"""Products with packed weights on CUDA devices.

One row is multiplied by Triton's kernels, several by what the weights stand for, a part of them at a time.
"""

import logging
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional

from shardline.errors import first_line

PART = 2**24
"""Weights that are unpacked at a time: as few as keep a GPU busy."""

log = logging.getLogger(__name__)


def multiply_int8(x: Tensor, values: Tensor, scales: Tensor) -> Tensor:
    """Multiply `x`, shape (n, in), by `values`, shape (out, in), and `scales`, shape (out,)."""
    if len(x) == 1 and _has_gemv(x.device):
        from shardline.engine.weights import triton_gemv

        return triton_gemv.int8(x, values, scales)
    return _by_parts(x, lambda some: values[some].to(x.dtype), len(values)) * scales


def pack_int4(numbers: Tensor) -> Tensor:
    """Lay out numbers from 0 to 15, shape (out, groups, 32), as `multiply_int4` wants them."""
    low, high = numbers.to(torch.uint8).chunk(2, 2)
    return low | high << 4


def multiply_int4(x: Tensor, packed: Tensor, scales_and_zeros: Tensor) -> Tensor:
    """Multiply `x`, shape (n, in), by 4-bit weights.

    Each group of 32 is 16 bytes of `packed`, shape (out, groups, 16), whose low halves are its first 16 numbers;
    `scales_and_zeros` has shape (out, groups, 2), for each the scale and what the number 8 stands for.
    """
    if len(x) == 1 and _has_gemv(x.device):
        from shardline.engine.weights import triton_gemv

        return triton_gemv.int4(x, packed, scales_and_zeros)

    def dense(some: slice) -> Tensor:
        numbers = torch.cat((packed[some] & 15, packed[some] >> 4), 2).to(x.dtype)
        scales, zeros = scales_and_zeros[some].chunk(2, 2)
        return numbers.sub_(8).mul_(scales).add_(zeros).flatten(1)

    return _by_parts(x, dense, len(packed))


def _by_parts(x: Tensor, dense: Callable[[slice], Tensor], rows: int) -> Tensor:
    step = max(1, PART // x.shape[1])
    parts = [functional.linear(x, dense(slice(start, start + step))) for start in range(0, rows, step)]
    return torch.cat(parts, 1)


@cache
def _has_gemv(device: torch.device) -> bool:
    """Whether Triton is there and compiles: it needs a C compiler too. Tried once, on a small product."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    try:
        from shardline.engine.weights import triton_gemv

        one = torch.ones(1, 32, dtype=torch.bfloat16, device=device)
        eights = triton_gemv.int8(one, torch.ones(8, 32, dtype=torch.int8, device=device), one[0, :8])
        return bool((eights == 32).all())
    except Exception as error:  # noqa: BLE001  whatever it is, there is another way
        log.warning("Triton cannot compile here (%s); packed weights are slower without.", first_line(error))
        return False
