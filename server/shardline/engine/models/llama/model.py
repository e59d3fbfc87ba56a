"""Lean decoder for the Llama family, with a stage for each device.

Only the hidden state passes between stages.
"""

import logging
from collections.abc import Sequence
from ctypes import Array, c_void_p
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from shardline.engine.models.llama import native_step
from shardline.engine.models.llama.config import Shape
from shardline.engine.models.llama.cuda_graph import Compute, Step, rows_for
from shardline.engine.models.llama.layer_streaming import Streamed
from shardline.engine.models.llama.stage import Stage
from shardline.engine.weights.linear import Dense, Int8
from shardline.errors import first_line

log = logging.getLogger(__name__)

TOLERANCE = 0.05
"""Distance allowed between compiled logits and torch's, relative to their norm.

Both round to bfloat16, and the compiled step rounds less often.
"""


class LlamaMemory:
    """The keys and values of all tokens, in place for each stage; truncating costs nothing."""

    can_truncate = True

    def __init__(self, parts: list[list[tuple[Tensor, Tensor]]]) -> None:
        self.parts = parts
        """Keys and values for each layer of each stage, of shape (kv heads, capacity, head size)."""
        self.length = 0
        self.steps: dict[int, Step] = {}
        """Decode steps captured for exactly these keys and values, by the number of rows they look at."""

    def step(self, end: int) -> Step | None:
        """Return the shortest captured step that sees the first `end` rows, if there is one."""
        return self.steps.get(min((rows for rows in self.steps if rows >= end), default=0))

    def text(self, ids: Sequence[int]) -> native_step.Text:
        """Return `ids` and where they go, for the compiled step."""
        return native_step.Text(ids, self.length, *self._addresses)

    @cached_property
    def _addresses(self) -> tuple[Array[c_void_p], Array[c_void_p]]:
        """The addresses of the keys and of the values of each layer."""
        layers = [layer for part in self.parts for layer in part]
        return native_step.addresses([keys for keys, _ in layers]), native_step.addresses(
            [values for _, values in layers]
        )

    def truncate(self, length: int) -> None:
        """Keep the first `length` tokens."""
        self.length = length


class LlamaModel:
    """Embedding, stages, norm and head, for texts of at most `capacity` tokens."""

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
        self._compiled: native_step.CompiledStep | None = None
        self._home = next(embedding.buffers()).device
        # Graphs spare launches of kernels, which cost nothing beside fetching offloaded weights.
        self._captures = all(s.device.type == "cuda" and not isinstance(s.layers, Streamed) for s in stages)
        modules = [*stages, head]
        self.bytes_per_token = sum(weight.nbytes for module in modules for weight in _weights(module))

    def new_memory(self) -> LlamaMemory:
        """Return an empty memory."""
        return LlamaMemory([[self._empty(stage) for _ in range(len(stage.layers))] for stage in self._stages])

    def _empty(self, stage: Stage) -> tuple[Tensor, Tensor]:
        size = (self._shape.kv_heads, self._capacity, self._shape.head_size)
        # Captured steps alone look at unwritten rows, behind a mask that NaN shows through. Zeros take time before
        # the first token, 7 ms of 31 with SmolLM2 on a CPU, and memory that may never be needed.
        new = torch.zeros if self._captures else torch.empty
        keys, values = (new(size, dtype=stage.dtype, device=stage.device) for _ in range(2))
        return keys, values

    @property
    def can_be_compiled(self) -> bool:
        """Whether `compile` can do anything for this model."""
        stage, *others = self._stages
        whole = not others and not isinstance(stage.layers, Streamed)
        return whole and native_step.runs(self._shape, stage, self._embedding, self._head)

    def compile(self, library: Path) -> None:
        """Run few tokens with `library` from now on; raises `OSError` or `ValueError` if it is not right."""
        step = native_step.CompiledStep(
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
            difference = step([found.text(ids)], every=True) - logits
            found.length += len(ids)
            if not difference.norm() <= TOLERANCE * logits.norm():
                raise ValueError("its logits differ from torch's")
        self._compiled = step

    @torch.inference_mode()
    def forward(self, ids: Sequence[int], memory: LlamaMemory, *, every: bool = False) -> Tensor:
        """Run `ids` after the tokens in `memory`; see `Model.forward`."""
        step = memory.step(memory.length + 1) if len(ids) == 1 else None
        logits = step(ids[0], memory.length) if step else self._read([(ids, memory)], every=every)
        memory.length += len(ids)
        return logits if every else logits[0]

    @torch.inference_mode()
    def forward_batch(self, texts: Sequence[tuple[Sequence[int], LlamaMemory]]) -> Sequence[Tensor]:
        """Run the ids of each of `texts` after the tokens in its own memory; see `Model.forward_batch`."""
        logits = self._read(texts, every=True)
        for ids, memory in texts:
            memory.length += len(ids)
        return torch.split(logits, [len(ids) for ids, _ in texts])

    def _read(self, texts: Sequence[tuple[Sequence[int], LlamaMemory]], *, every: bool) -> Tensor:
        together = [token for ids, _ in texts for token in ids]
        if self._compiled and len(together) <= native_step.MAX_ROWS:
            return self._compiled([memory.text(ids) for ids, memory in texts], every=every)
        x = self._embedding.rows(torch.tensor(together, device=self._home))
        spans = [range(memory.length, memory.length + len(ids)) for ids, memory in texts]
        for index, stage in enumerate(self._stages):
            x = stage(x.to(stage.device), spans, [memory.parts[index] for _, memory in texts])
        return self._logits((x if every else x[-1:]).to(self._norm.device))

    def step(self, memory: LlamaMemory, length: int) -> Step:
        """Return the step of one token over the first `length` rows of `memory`; nothing is captured yet."""
        segments: list[tuple[torch.device, Compute]] = [(self._home, lambda ids, _: self._embedding.rows(ids))]
        for stage, part in zip(self._stages, memory.parts, strict=True):
            segments.append((stage.device, partial(stage.step, length=length, memory=part)))
        return Step([*segments, (self._norm.device, lambda x, _: self._logits(x))])

    @torch.inference_mode()
    def prepare(self, memory: LlamaMemory) -> None:
        """Capture the step for texts about as long as that in `memory`, if all layers are on CUDA devices."""
        length = rows_for(memory.length + 1, self._capacity)
        if not self._captures or memory.length >= self._capacity or length in memory.steps:
            return
        pool = next((step.pool for step in memory.steps.values()), None)
        try:
            memory.steps[length] = self.step(memory, length).captured(memory.length, pool)
        except RuntimeError as error:
            self._captures = False
            log.warning("CUDA captures no graphs here (%s); without them tokens come slower.", first_line(error))
        if not self._captures:
            torch.cuda.empty_cache()  # the failed capture has allocated memory

    def _logits(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n, vocabulary), of the tokens that follow those of `x`, shape (n, hidden)."""
        x = functional.rms_norm(x, (self._shape.hidden,), self._norm, self._shape.epsilon)
        logits: Tensor = self._head(x).float()
        return logits


def _weights(module: nn.Module) -> list[Tensor]:
    """Return the buffers of `module` that each token reads whole: all but the rotary tables."""
    return [weight for name, weight in module.named_buffers() if name not in ("cos", "sin")]
