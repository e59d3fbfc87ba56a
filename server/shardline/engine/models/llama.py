"""A lean decoder for the Llama family, in stages: one for each device, and only the hidden state passes between."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from shardline.engine.kernel import step
from shardline.engine.models.shape import Shape
from shardline.engine.models.stage import Stage
from shardline.engine.quantize import Dense, Int8

TOLERANCE = 0.05
"""How far compiled logits may be from torch's, in parts of their size: it rounds less, and both round to bfloat16."""


class LlamaMemory:
    """Keys and values of the tokens read, in place for each stage; forgetting the last ones costs nothing."""

    can_forget = True

    def __init__(self, parts: list[list[tuple[Tensor, Tensor]]]) -> None:
        self.parts = parts
        """For each layer of each stage keys and values, of shape (kv heads, capacity, head size)."""
        self.length = 0

    @cached_property
    def addresses(self) -> tuple[list[int], list[int]]:
        """Where the keys and the values of each layer begin."""
        layers = [layer for part in self.parts for layer in part]
        return [keys.data_ptr() for keys, _ in layers], [values.data_ptr() for _, values in layers]

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        self.length = length


class LlamaModel:
    """Embedding, stages, norm and head; at most `capacity` tokens can be read."""

    def __init__(
        self,
        shape: Shape,
        *,
        embedding: Dense | Int8,
        stages: Sequence[Stage],
        norm: Tensor,
        head: Dense | Int8,
        capacity: int,
    ) -> None:
        self._shape = shape
        self._embedding = embedding
        self._stages = stages
        self._norm = norm
        self._head = head
        self._capacity = capacity
        self._step: step.Step | None = None
        modules = [*stages, head]
        self.bytes_per_token = sum(weight.nbytes for module in modules for weight in _weights(module))

    def new_memory(self) -> LlamaMemory:
        """An empty memory for `forward`."""
        return LlamaMemory([[self._empty(stage) for _ in stage.layers] for stage in self._stages])

    def _empty(self, stage: Stage) -> tuple[Tensor, Tensor]:
        size = (self._shape.kv_heads, self._capacity, self._shape.head_size)
        keys, values = (torch.zeros(size, dtype=stage.dtype, device=stage.device) for _ in range(2))
        return keys, values

    @property
    def can_be_compiled(self) -> bool:
        """Whether `compile` can do anything for this model."""
        return len(self._stages) == 1 and step.runs(self._shape, self._stages[0], self._embedding, self._head)

    def compile(self, library: Path) -> None:
        """Read few tokens with `library` from now on; raises `OSError` or `ValueError` where it cannot be trusted."""
        compiled = step.Step(
            library,
            self._shape,
            embedding=self._embedding,
            stage=self._stages[0],
            norm=self._norm,
            head=self._head,
            capacity=self._capacity,
        )
        expected, found = self.new_memory(), self.new_memory()
        count = self._shape.vocabulary
        for ids in ([1, count // 3, count // 2], [count - 1]):
            logits = self.forward(ids, expected, every=True)
            difference = compiled(ids, found.length, *found.addresses, every=True) - logits
            found.length += len(ids)
            if not difference.norm() <= TOLERANCE * logits.norm():
                raise ValueError("it computes something else than torch")
        self._step = compiled

    @torch.inference_mode()
    def forward(self, ids: Sequence[int], memory: LlamaMemory, *, every: bool = False) -> Tensor:
        """Read `ids` after what is in `memory`; see `Model.forward`."""
        start, end = memory.length, memory.length + len(ids)
        if self._step and len(ids) <= step.MOST_ROWS:
            compiled = self._step(ids, start, *memory.addresses, every=every)
            memory.length = end
            return compiled if every else compiled[0]
        device = self._stages[0].device
        x = self._embedding.rows(torch.tensor(list(ids), device=device))
        for stage, part in zip(self._stages, memory.parts, strict=True):
            x = stage(x.to(stage.device), torch.arange(start, end, device=stage.device), end, part)
        memory.length = end
        x = x if every else x[-1:]
        x = functional.rms_norm(x.to(self._norm.device), (self._shape.hidden,), self._norm, self._shape.epsilon)
        logits: Tensor = self._head(x).float()
        return logits if every else logits[0]


def _weights(module: nn.Module) -> list[Tensor]:
    """The buffers of `module` that are read whole for each token; the rotary tables are not."""
    return [weight for name, weight in module.named_buffers() if name not in ("cos", "sin")]
