"""The decode step of one token as CUDA graphs.

A step looks at a fixed number of rows of a memory and masks those not written yet. So only tensors depend on the token
and its row, and a recorded step can be replayed. A graph spares Python and the driver a thousand launches a token.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

Compute = Callable[[Tensor, Tensor], Tensor]
"""One device's part: from its input and the index of the row, shape (1,), to its output."""

Pool = Any
"""An opaque handle of torch for a memory pool of graphs."""

MIN_ROWS = 256
WARM_UPS = 3
"""Runs before a capture, in which libraries choose their kernels and allocate their workspace."""


def rows_for(end: int, capacity: int) -> int:
    """Return how many rows a step looks at to see the first `end`: 256, 512, 1024 and so on, at most `capacity`."""
    rows = MIN_ROWS
    while rows < end:
        rows *= 2
    return min(rows, capacity)


class Graph:
    """A CUDA graph of `compute`, with its input, row and output always in the same place.

    It is freed with its memory pool once nothing refers to it. `pool` is that of another graph that lives as long.
    """

    def __init__(self, compute: Compute, x: Tensor, row: Tensor, pool: Pool) -> None:
        self._x, self._row = x.clone(), row.clone()
        self._graph = torch.cuda.CUDAGraph()
        here, aside = torch.cuda.current_stream(x.device), _side_stream(x.device)
        aside.wait_stream(here)
        with torch.cuda.stream(aside):  # around the capture too: one that fails leaves its stream current
            for _ in range(WARM_UPS):
                compute(self._x, self._row)
            with torch.cuda.graph(self._graph, pool=pool, stream=aside):
                self._y = compute(self._x, self._row)
        here.wait_stream(aside)
        self.pool: Pool = self._graph.pool()

    def __call__(self, x: Tensor, row: Tensor) -> Tensor:
        """Replay it; the next run overwrites the output."""
        self._x.copy_(x)
        self._row.copy_(row)
        self._graph.replay()
        return self._y


class Step:
    """The parts of all devices for one token, in order; the first is given its id, shape (1,)."""

    def __init__(self, segments: Sequence[tuple[torch.device, Compute]]) -> None:
        self._segments = segments

    def __call__(self, token: int, row: int) -> Tensor:
        """Run `token` at `row`; return the last device's output, in memory of its own."""
        x = torch.full((1,), token, device=self._segments[0][0])
        for device, compute in self._segments:
            x = compute(x.to(device), torch.full((1,), row, device=device))
        return x.clone()

    def captured(self, row: int, pool: Pool) -> "Step":
        """Return the same step with the parts of CUDA devices as graphs in one pool; `row` is free, and overwritten.

        Raises `RuntimeError` if CUDA cannot, as when memory runs out.
        """
        segments: list[tuple[torch.device, Compute]] = []
        x = torch.zeros(1, dtype=torch.long, device=self._segments[0][0])
        for device, compute in self._segments:
            x, at = x.to(device), torch.full((1,), row, device=device)
            if device.type == "cuda":
                compute = graph = Graph(compute, x, at, pool)
                pool = graph.pool
            segments.append((device, compute))
            x = compute(x, at)
        return Step(segments)

    @property
    def pool(self) -> Pool:
        """The memory pool of its graphs; None without graphs."""
        return next((compute.pool for _, compute in self._segments if isinstance(compute, Graph)), None)


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the device's one stream for captures: cuBLAS allocates a workspace for each stream and never frees it."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
