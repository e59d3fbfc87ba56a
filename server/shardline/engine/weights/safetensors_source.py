"""Tensors of a checkpoint by name, read when they are wanted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from shardline.engine.checkpoints.safetensors_files import safetensors_files
from shardline.engine.weights.linear import Linear
from shardline.errors import CheckpointError

REAL = ("BF16", "F16", "F32", "F64")
"""Dtypes of stored weights: other kinds need scales, which the Llama family does not know."""


class SafetensorsWeights:
    """Weights in the safetensors files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Any] = {}
        for file in safetensors_files(folder):
            opened = safe_open(file, framework="pt")
            names: list[str] = opened.keys()  # type: ignore[no-untyped-call]
            self._files.update(dict.fromkeys(names, opened))

    def tensor(self, name: str) -> Tensor | None:
        """Return a tensor on the CPU in its stored dtype, or None where there is none of this name."""
        file = self._files.get(name)
        if file is None:
            return None
        tensor: Tensor = file.get_tensor(name)
        return tensor

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor of real numbers, unread; None where there is none of this name."""
        file = self._files.get(name)
        if file is None:
            return None
        stored = file.get_slice(name)
        if stored.get_dtype() not in REAL:
            raise CheckpointError(f"model.name: {name} is stored as {stored.get_dtype()}, which cannot be read.")
        return tuple(stored.get_shape())

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:  # noqa: ARG002  as all sources
        """None: these weights are not packed."""
        return None
