"""The tensors of a checkpoint by name, each read from its file when it is asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from shardline.engine.quantize import Linear
from shardline.engine.weights import safetensors_files


class SafetensorsWeights:
    """Weights in the safetensors files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Any] = {}
        for file in safetensors_files(folder):
            opened = safe_open(file, framework="pt")
            names: list[str] = opened.keys()  # type: ignore[no-untyped-call]
            self._files.update(dict.fromkeys(names, opened))

    def tensor(self, name: str) -> Tensor | None:
        """A tensor on the CPU in the dtype it is stored in, or None where there is none of this name."""
        file = self._files.get(name)
        if file is None:
            return None
        tensor: Tensor = file.get_tensor(name)
        return tensor

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:  # noqa: ARG002  as all sources
        """None: these weights are not packed."""
        return None
