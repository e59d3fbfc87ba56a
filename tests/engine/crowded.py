"""A whole peer of the decoder, on a device that runs out of memory when it is told to."""

import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from shardline.engine.checkpoints.checkpoint import find
from shardline.engine.local.opener import open_runner
from shardline.engine.local.runner import MAX_CACHES, Runner
from shardline.engine.models.llama.model import LlamaMemory, LlamaModel
from shardline.engine.plan import DeviceShare, Plan
from shardline.engine.tokenization.tokenizer import Codec
from shardline.settings import ModelSettings


class Crowded:
    """A real tiny model on a device that runs out of memory at the passes `full`, after the keys are written."""

    bytes_per_token = 0

    def __init__(self, model: LlamaModel, full: Sequence[int]) -> None:
        self._model = model
        self.full = full
        self.passes = 0
        self.taken: list[weakref.ref[LlamaMemory]] = []
        self.prepared = threading.Event()
        self.passes_when_prepared = 0

    def new_memory(self) -> LlamaMemory:
        memory = self._model.new_memory()
        self.taken.append(weakref.ref(memory))
        return memory

    def forward(self, ids: Sequence[int], memory: LlamaMemory, *, every: bool = False) -> Tensor:
        logits = self._model.forward(ids, memory, every=every)
        self._count()
        return logits

    def forward_batch(self, texts: Sequence[tuple[Sequence[int], LlamaMemory]]) -> Sequence[Tensor]:
        logits = self._model.forward_batch(texts)
        self._count()
        return logits

    def _count(self) -> None:
        self.passes += 1
        if self.passes in self.full:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def prepare(self, memory: LlamaMemory) -> None:
        self._model.prepare(memory)
        self.passes_when_prepared = self.passes
        self.prepared.set()

    @property
    def held(self) -> int:
        """How many memories have not been freed."""
        return sum(memory() is not None for memory in self.taken)


def crowded(folder: Path, full: Sequence[int], *, caches: int = MAX_CACHES) -> tuple[Crowded, Runner]:
    """Return the model of `folder` on such a device, with room for so many caches, and a runner of it."""
    settings = ModelSettings(name=str(folder), context_tokens=512)
    model = open_runner(settings, lambda _: None).model
    assert isinstance(model, LlamaModel)
    peer = Crowded(model, full)
    share = DeviceShare(device="cpu", limit=caches, weights=0, kv_cache=1, workspace=0, layers=4)
    plan = Plan(model="crowded", dtype="float32", device_map={"": "cpu"}, devices=(share,))
    return peer, Runner(plan=plan, model=peer, codec=Codec.of(find(settings, lambda _: None)), context_tokens=512)
