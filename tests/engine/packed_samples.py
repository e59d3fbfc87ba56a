"""Random packed weights."""

import torch
from torch import Tensor

from shardline.engine.weights.cuda_matmul import pack_int4
from shardline.engine.weights.linear import GROUP

SIZES = [(8, 32), (50, 64), (7, 2336), (4, 3 * 1024)]


def four_bits(out: int, columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Packed weights, their scales and zeros, and what they stand for in 32 bits."""
    torch.manual_seed(0)
    numbers = torch.randint(0, 16, (out, columns // GROUP, GROUP))
    both = torch.randn(out, columns // GROUP, 2).to(dtype)
    scales, zeros = both.float().chunk(2, 2)
    return pack_int4(numbers), both, ((numbers - 8) * scales + zeros).flatten(1)
