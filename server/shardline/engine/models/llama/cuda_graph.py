"""The decode step: one token through the whole model, in a form that CUDA can record once and repeat.

It looks at a fixed number of rows of a memory and masks those not written yet, so that only tensors say which token
comes and which row is its own. Recorded as CUDA graphs it spares Python and the driver a thousand launches a token.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

Compute = Callable[[Tensor, Tensor], Tensor]
"""What one device does: from its input and the number of the row, shape (1,), to its output."""

Pool = Any
"""torch's name for a memory pool of graphs, which it does not tell more about."""

MIN_ROWS = 256
WARM_UPS = 3
"""Runs before a graph is captured, in which libraries choose their kernels and take their workspace."""


def rows_for(end: int, capacity: int) -> int:
    """How many rows a step looks at that must see `end` of them: 256, 512, 1024 and so on, at most `capacity`."""
    rows = MIN_ROWS
    while rows < end:
        rows *= 2
    return min(rows, capacity)


class Graph:
    """`compute` as a CUDA graph: its input, its row and its output always lie in the same place.

    Freed with its memory pool once nothing refers to it. `pool` is that of another graph that lives as long.
    """

    def __init__(self, compute: Compute, x: Tensor, row: Tensor, pool: Pool) -> None:
        self._x, self._row = x.clone(), row.clone()
        self._graph = torch.cuda.CUDAGraph()
        here, aside = torch.cuda.current_stream(x.device), _side_stream(x.device)
        aside.wait_stream(here)
        with torch.cuda.stream(aside):  # around the capture too, which leaves its stream in force where it fails
            for _ in range(WARM_UPS):
                compute(self._x, self._row)
            with torch.cuda.graph(self._graph, pool=pool, stream=aside):
                self._y = compute(self._x, self._row)
        here.wait_stream(aside)
        self.pool: Pool = self._graph.pool()

    def __call__(self, x: Tensor, row: Tensor) -> Tensor:
        """Run it; what it returns is overwritten by the next run."""
        self._x.copy_(x)
        self._row.copy_(row)
        self._graph.replay()
        return self._y


class Step:
    """What each device does for one token, one after the other; the first is given its id, shape (1,)."""

    def __init__(self, segments: Sequence[tuple[torch.device, Compute]]) -> None:
        self._segments = segments

    def __call__(self, token: int, row: int) -> Tensor:
        """Read `token` as the one at `row`; returns what the last device says, in memory of its own."""
        x = torch.full((1,), token, device=self._segments[0][0])
        for device, compute in self._segments:
            x = compute(x.to(device), torch.full((1,), row, device=device))
        return x.clone()

    def captured(self, row: int, pool: Pool) -> "Step":
        """The same step, with what CUDA devices do as graphs in one pool; `row` is free and will be written to.

        Raises `RuntimeError`, of which running out of memory is one, where CUDA cannot.
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
        """The memory pool of its graphs; None where it has none."""
        return next((compute.pool for _, compute in self._segments if isinstance(compute, Graph)), None)


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """The one stream of a device to capture on: cuBLAS takes a workspace for each stream and never gives it back."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
