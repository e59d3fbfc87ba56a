"""Packed weights kept in a file as the kernels want them, so that a model starts without packing anything again."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from shardline.engine.quantize import ALIGNMENT, Int4, Int8, Linear

PADDING = "padding"


class Weights(Protocol):
    """Where weights come from, by the names that Hugging Face's models give them."""

    def tensor(self, name: str) -> Tensor | None:
        """A tensor of real numbers on the CPU, or None where there is none of this name."""

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:
        """Weights that are packed already, those of `names` one under the other; None where they are not packed."""


def file_name(dtype: torch.dtype) -> str:
    """The name of such a file: its layout depends on torch and on what the CPU can do."""
    parts = (torch.__version__, torch.backends.cpu.get_cpu_capability(), str(dtype).removeprefix("torch."))
    return f"weights-{'-'.join(parts).replace(' ', '_')}.safetensors"


class PackedWeights:
    """The weights of a file that `Keeper` wrote."""

    def __init__(self, file: Path) -> None:
        self._file = safe_open(file, framework="pt")
        names: list[str] = self._file.keys()  # type: ignore[no-untyped-call]
        self._names = set(names)

    def tensor(self, name: str) -> Tensor | None:
        """A tensor of real numbers, or None where there is none of this name."""
        if name not in self._names:
            return None
        tensor: Tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:
        """The modules `names` as they were kept, or None where they were not packed."""
        name = "+".join(names)
        parts = [self.tensor(f"{name}.{part}") for part in ("packed", "scales_and_zeros", "values", "scales")]
        packed, both, values, scales = (None if part is None else part.to(device) for part in parts)
        if packed is not None and both is not None:
            return Int4(packed, both)
        return Int8(values, scales) if values is not None and scales is not None else None


class Keeper:
    """Passes weights on from `weights` and remembers them, to be kept in a file."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._kept: dict[str, Tensor] = {}

    def tensor(self, name: str) -> Tensor | None:
        """As the weights have it."""
        tensor = self._weights.tensor(name)
        if tensor is not None:
            self._kept[name] = tensor
        return tensor

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:
        """As the weights have it."""
        linear = self._weights.linear(names, device)
        if linear is not None:
            self._kept |= {f"{'+'.join(names)}.{part}": weight for part, weight in linear.named_buffers()}
        return linear

    def keep(self, file: Path) -> None:
        """Write all of it; the file appears whole or not at all."""
        handle, partial = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
        os.close(handle)
        try:
            tensors = {name: weight.contiguous() for name, weight in self._kept.items()}
            save_file(tensors, partial, metadata={PADDING: ""})
            # Once more with a longer header, so that what is mapped into memory begins where kernels can read it.
            save_file(tensors, partial, metadata={PADDING: " " * (-_header_bytes(Path(partial)) % ALIGNMENT)})
            os.replace(partial, file)  # noqa: PTH105  atomic, unlike Path.rename on every system
        finally:
            Path(partial).unlink(missing_ok=True)


def _header_bytes(file: Path) -> int:
    """Where the tensors of a safetensors file begin: behind the length of the header, and the header."""
    with file.open("rb") as opened:
        return 8 + int.from_bytes(opened.read(8), "little")
