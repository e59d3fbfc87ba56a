"""A lean decoder for the Llama family, in stages: one for each device, and only the hidden state passes between."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from shardline.engine.models.shape import Shape
from shardline.engine.models.stage import Stage
from shardline.engine.quantize import Dense, Int8


class LlamaMemory:
    """Keys and values of the tokens read, in place for each stage; forgetting the last ones costs nothing."""

    can_forget = True

    def __init__(self, parts: list[list[tuple[Tensor, Tensor]]]) -> None:
        self.parts = parts
        """For each layer of each stage keys and values, of shape (kv heads, capacity, head size)."""
        self.length = 0

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
        head: nn.Module,
        capacity: int,
    ) -> None:
        self._shape = shape
        self._embedding = embedding
        self._stages = stages
        self._norm = norm
        self._head = head
        self._capacity = capacity
        modules = [*stages, head]
        self.bytes_per_token = sum(weight.nbytes for module in modules for weight in _weights(module))

    def new_memory(self) -> LlamaMemory:
        """An empty memory for `forward`."""
        return LlamaMemory([[self._empty(stage) for _ in stage.layers] for stage in self._stages])

    def _empty(self, stage: Stage) -> tuple[Tensor, Tensor]:
        size = (self._shape.kv_heads, self._capacity, self._shape.head_size)
        keys, values = (torch.zeros(size, dtype=stage.dtype, device=stage.device) for _ in range(2))
        return keys, values

    @torch.inference_mode()
    def forward(self, ids: Sequence[int], memory: LlamaMemory, *, every: bool = False) -> Tensor:
        """Read `ids` after what is in `memory`; see `Model.forward`."""
        start, end = memory.length, memory.length + len(ids)
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
