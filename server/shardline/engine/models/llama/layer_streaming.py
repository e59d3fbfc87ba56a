"""Offloaded layers, fetched from CPU memory while the one before computes."""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

BUFFERS = 2
"""Layers with weights on the device at a time: the one that computes, and the next."""

ALIGNMENT = 256
"""Each weight in a buffer begins at a multiple of so many bytes."""

PIECE = 2**24
"""Bytes of CPU memory pinned at once: torch rounds a pinned size up to a power of two."""


class Streamed(nn.ModuleList):
    """Modules with weights offloaded to CPU memory, pinned for a GPU; iterating brings each to `device` in time.

    `modules` must have their weights on `device`; each is offloaded before the next is taken from the iterable. The
    first ones are fetched again at the end of a pass.
    """

    def __init__(self, modules: Iterable[nn.Module], device: torch.device) -> None:
        super().__init__()
        self._waiting: list[list[Tensor]] = []
        for module in modules:
            self._waiting.append(_take_off(module, pin=device.type == "cuda"))
            self.append(module)
        self._device = device
        self._backend: Any = torch.get_device_module(device)  # the CPU's streams and events do nothing
        self._stream = self._backend.Stream(device)
        self._copied, self._computed = ([self._backend.Event() for _ in range(BUFFERS)] for _ in range(2))
        self._held: list[int | None] = [None] * BUFFERS
        sizes = [sum(len(piece) for piece in pieces) for pieces in self._waiting]
        with self._backend.stream(self._stream):
            self._slots = [
                torch.empty(max(sizes[slot::BUFFERS], default=0), dtype=torch.uint8, device=device)
                for slot in range(BUFFERS)
            ]
        for number, module in enumerate(self._modules.values()):
            _lay_into(module, self._slots[number % BUFFERS])

    def __iter__(self) -> Iterator[nn.Module]:
        """Yield each module with its weights in place, until the next one is asked for."""
        self._fetch_first()
        here = self._backend.current_stream(self._device)
        for number, module in enumerate(self._modules.values()):
            here.wait_event(self._copied[number % BUFFERS])
            yield module
            self._computed[number % BUFFERS].record(here)
            self._fetch(number + BUFFERS)
        self._fetch_first()

    def _fetch_first(self) -> None:
        for number in range(BUFFERS):
            self._fetch(number)

    def _fetch(self, number: int) -> None:
        """Begin to copy as soon as the layer in that buffer has computed."""
        slot = number % BUFFERS
        if number >= len(self) or self._held[slot] == number:
            return
        self._stream.wait_event(self._computed[slot])
        with self._backend.stream(self._stream):
            for piece, room in zip(self._waiting[number], torch.split(self._slots[slot], PIECE), strict=False):
                room[: len(piece)].copy_(piece, non_blocking=True)
            self._copied[slot].record(self._stream)
        self._held[slot] = number


def _take_off(module: nn.Module, *, pin: bool) -> list[Tensor]:
    """Move the buffers of `module` to the CPU and return them as pieces of bytes; only shapes stay in the module."""
    places = _places(module)
    _, _, last, start = places[-1]
    whole = torch.empty(start + last.nbytes, dtype=torch.uint8, device=last.device)
    for owner, name, tensor, start in places:
        whole[start : start + tensor.nbytes] = tensor.contiguous().flatten().view(torch.uint8)
        setattr(owner, name, torch.empty_like(tensor, device="meta"))
    return [torch.empty(len(part), dtype=torch.uint8, pin_memory=pin).copy_(part) for part in torch.split(whole, PIECE)]


def _lay_into(module: nn.Module, buffer: Tensor) -> None:
    """Make the buffers of `module` views of `buffer`."""
    for owner, name, tensor, start in _places(module):
        setattr(owner, name, buffer[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape))


def _places(module: nn.Module) -> list[tuple[nn.Module, str, Tensor, int]]:
    """Return the owner, name, tensor and first byte of each buffer."""
    owned = [(owner, name, tensor) for owner in module.modules() for name, tensor in owner.named_buffers(recurse=False)]
    padded = (-(-tensor.nbytes // ALIGNMENT) * ALIGNMENT for _, _, tensor in owned)
    return [(*place, start) for place, start in zip(owned, accumulate(padded, initial=0), strict=False)]
