"""File of packed weights in the kernels' layout, for a fast start."""

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from shardline.engine.weights.linear import ALIGNMENT, Int4, Int8, Linear
from shardline.errors import first_line

log = logging.getLogger(__name__)

CHECKSUM = "checksum"
PARTS = ("packed", "scales_and_zeros", "values", "scales")


class Weights(Protocol):
    """A source of weights, by the names of Hugging Face's models."""

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor of real numbers, unread; None where there is none of this name."""

    def tensor(self, name: str) -> Tensor | None:
        """Return a tensor of real numbers on the CPU, or None where there is none of this name."""

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:
        """Weights that are packed already, those of `names` one under the other; None where they are not packed."""


def file_name(dtype: torch.dtype) -> str:
    """Return the name of a packed file: its layout depends on torch and on the CPU's instructions."""
    parts = (torch.__version__, torch.backends.cpu.get_cpu_capability(), str(dtype).removeprefix("torch."))
    return f"weights-{'-'.join(parts).replace(' ', '_')}.safetensors"


def open_kept(file: Path, sizes: Mapping[str, torch.Size], dtype: torch.dtype) -> "PackedWeights | None":
    """Open a file that `Keeper` wrote; remove one that is damaged, or is not of a model of these sizes."""
    if not file.exists():
        return None
    try:
        return PackedWeights(file, sizes, dtype)
    except Exception as error:  # noqa: BLE001  whatever is wrong with it, it can be made again
        log.warning("The packed weights in %s are damaged (%s); they are made again.", file, first_line(error))
        try:
            file.unlink()
        except OSError as refusal:
            log.warning("They cannot be removed (%s).", refusal.strerror)
        return None


class PackedWeights:
    """The weights of a file that `Keeper` wrote, of a model with these sizes; raises an error for any other."""

    def __init__(self, file: Path, sizes: Mapping[str, torch.Size], dtype: torch.dtype) -> None:
        self._file = safe_open(file, framework="pt")
        self._sizes = sizes
        self._dtype = dtype
        if (self._file.metadata() or {}).get(CHECKSUM, "").strip() != _checksum(file):  # type: ignore[no-untyped-call]
            raise ValueError("its checksum is another")
        names: list[str] = self._file.keys()  # type: ignore[no-untyped-call]
        self._names = set(names)
        checked = {weight for name in self._names for weight in self._check(name)}
        if missing := sizes.keys() - checked:
            raise ValueError(f"it has no {min(missing)}")

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor as the model has it, packed or not."""
        return self._sizes.get(name)

    def tensor(self, name: str) -> Tensor | None:
        """Return a tensor of real numbers, or None where there is none of this name."""
        if name not in self._names:
            return None
        tensor: Tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:
        """Return the modules `names` as they were kept, or None where they were not packed."""
        name = "+".join(names)
        parts = [self.tensor(f"{name}.{part}") for part in PARTS]
        packed, both, values, scales = (None if part is None else part.to(device) for part in parts)
        if packed is not None and both is not None:
            return Int4(packed, both)
        return Int8(values, scales) if values is not None and scales is not None else None

    def _check(self, name: str) -> list[str]:
        """Return the weights of a tensor; raises `ValueError` where they have another size in the model."""
        modules, _, part = name.rpartition(".")
        if part not in PARTS:
            fits = tuple(self._file.get_slice(name).get_shape()) == self._expected(name)  # type: ignore[no-untyped-call]
            weights = [name]
        else:
            names = modules.split("+")
            weights = [f"{one}.weight" for one in names]
            linear, sizes = self.linear(names, torch.device("cpu")), [self._expected(weight) for weight in weights]
            fits = linear is not None and linear.has_size(sum(size[0] for size in sizes), sizes[0][1], self._dtype)
        if not fits:
            raise ValueError(f"{name} has another size")
        return weights

    def _expected(self, name: str) -> tuple[int, ...]:
        module = name.removesuffix(".bias")
        return tuple(self._sizes[name] if module == name else self._sizes[f"{module}.weight"][:1])


class Keeper:
    """Passes weights on from `weights` and remembers them, to be kept in a file."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._kept: dict[str, Tensor] = {}

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape as the weights have it."""
        return self._weights.shape(name)

    def tensor(self, name: str) -> Tensor | None:
        """Return the tensor as the weights have it."""
        tensor = self._weights.tensor(name)
        if tensor is not None:
            self._kept[name] = tensor
        return tensor

    def linear(self, names: Sequence[str], device: torch.device) -> Linear | None:
        """Return the modules as the weights have them."""
        linear = self._weights.linear(names, device)
        if linear is not None:
            self._kept |= {f"{'+'.join(names)}.{part}": weight for part, weight in linear.named_buffers()}
        return linear

    def keep(self, file: Path) -> None:
        """Write all of it, if that can be; the file appears whole or not at all."""
        partial = None
        try:
            handle, partial = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
            os.close(handle)
            self._write(Path(partial))
            os.replace(partial, file)  # noqa: PTH105  atomic, unlike Path.rename on every system
        except Exception as error:  # noqa: BLE001  safetensors has errors of its own for a full disk
            log.warning(
                "The packed weights are not kept, and are packed again at the next start: %s cannot be written (%s). "
                "Free space there, or set XDG_CACHE_HOME.",
                file.parent,
                first_line(error),
            )
        finally:
            if partial is not None:
                Path(partial).unlink(missing_ok=True)

    def _write(self, file: Path) -> None:
        tensors = {name: weight.contiguous() for name, weight in self._kept.items()}
        save_file(tensors, file, metadata={CHECKSUM: ""})
        known = _checksum(file)
        save_file(tensors, file, metadata={CHECKSUM: known})
        # A longer header aligns the tensors, so that kernels can read them where the file is mapped.
        save_file(tensors, file, metadata={CHECKSUM: known + " " * (-_header_bytes(file) % ALIGNMENT)})


def _header_bytes(file: Path) -> int:
    """Return the offset of the tensors in a safetensors file: behind the header's length and the header."""
    with file.open("rb") as opened:
        return 8 + int.from_bytes(opened.read(8), "little")


def _checksum(file: Path) -> str:
    """Return the sum of all words behind the header: as fast as memory, and every damaged word changes it."""
    begin, end = _header_bytes(file), file.stat().st_size
    words = numpy.memmap(file, "<u8", "r", begin, (end - begin) // 8)
    rest = numpy.fromfile(file, "u1", offset=end - (end - begin) % 8)
    return str((int(words.sum(dtype="u8")) + int.from_bytes(rest.tobytes(), "little")) % 2**64)
