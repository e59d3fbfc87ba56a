"""Any causal language model of transformers, sharded by accelerate.

Its layers may be on GPUs, the CPU and the disk.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers.utils import logging as transformers_logging

from shardline.engine import Report
from shardline.engine.checkpoints.checkpoint import Checkpoint
from shardline.engine.checkpoints.tqdm_progress import bar_class
from shardline.engine.models.load_errors import mismatch, missing, reading
from shardline.engine.plan import Plan
from shardline.errors import PlacementError

CUTTABLE = {"full_attention", "sliding_attention", "chunked_attention"}
"""Kinds of layers with keys and values in order, one per token, so that the last ones can be cut off."""


class TransformersMemory:
    """The KV cache of transformers."""

    def __init__(self, config: Any) -> None:
        kinds = set(getattr(config.get_text_config(), "layer_types", None) or CUTTABLE)
        # Without a config it keeps every token in every layer, and a mask does the sliding windows.
        self.cache = DynamicCache() if kinds <= CUTTABLE else DynamicCache(config=config)
        self.can_truncate = kinds <= CUTTABLE  # other kinds keep a sum of all tokens

    def truncate(self, length: int) -> None:
        """Keep the first `length` tokens."""
        self.cache.crop(min(0, length - self.cache.get_seq_length()))


class TransformersModel:
    """A loaded model with its layers where a plan put them."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._input_device = model.get_input_embeddings().weight.device
        if self._input_device.type == "meta":  # offloaded: accelerate's hooks bring it to the rest
            self._input_device = torch.device("cpu")
        tables = [model.get_input_embeddings().weight] if model.get_output_embeddings() is not None else []
        tied = tables and model.get_output_embeddings().weight is tables[0]
        looked_up = 0 if tied else sum(table.nbytes for table in tables)  # only rows of them are read
        self.bytes_per_token = sum(weight.nbytes for weight in model.parameters()) - looked_up
        takes = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}

    def new_memory(self) -> TransformersMemory:
        """Return an empty memory."""
        return TransformersMemory(self._model.config)

    @torch.inference_mode()
    def forward(self, ids: Sequence[int], memory: TransformersMemory, *, every: bool = False) -> Tensor:
        """Run `ids` after the tokens in `memory`; see `Model.forward`."""
        input_ids = torch.tensor([list(ids)], device=self._input_device)
        wanted = {} if every else self._last_only
        output = self._model(input_ids=input_ids, cache=memory.cache, use_cache=True, **wanted)
        logits: Tensor = output.logits[0]
        return (logits if every else logits[-1]).float()

    def forward_batch(self, texts: Sequence[tuple[Sequence[int], TransformersMemory]]) -> Sequence[Tensor]:
        """Run the ids of each of `texts` one after the other: these caches cannot be batched."""
        return [self.forward(ids, memory, every=True) for ids, memory in texts]

    def prepare(self, memory: TransformersMemory) -> None:
        """Do nothing: it cannot be sped up."""


def load(checkpoint: Checkpoint, plan: Plan, report: Report, *, offload_folder: str | None) -> TransformersModel:
    """Read the weights of `checkpoint`, each straight to its device; raises `EngineError`."""
    checkpoint = checkpoint.with_safetensors(report)
    bars = bar_class(f"Loading {checkpoint.name}", "weights", report)
    before = transformers_logging.set_tqdm_hook(lambda _, args, kwargs: bars(*args, **kwargs))
    try:
        with reading(checkpoint):
            model, found = AutoModelForCausalLM.from_pretrained(
                checkpoint.folder,
                dtype=getattr(torch, plan.dtype),
                device_map=dict(plan.device_map),
                offload_folder=_own_folder(checkpoint, plan, offload_folder),
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
            # transformers fills these with random numbers.
            for name, stored, size in found["mismatched_keys"]:
                raise mismatch(name, stored, size)
            for name in found["missing_keys"]:
                raise missing(name)
    finally:
        transformers_logging.set_tqdm_hook(before)
    return TransformersModel(model.eval())


def _own_folder(checkpoint: Checkpoint, plan: Plan, offload_folder: str | None) -> str | None:
    """Return a folder in `model.offloadFolder` for exactly these weights, so that models do not mix."""
    if offload_folder is None or "disk" not in plan.device_map.values():
        return None
    folder = Path(offload_folder).expanduser() / f"{checkpoint.fingerprint()[:16]}-{plan.fingerprint()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
    except OSError as error:
        raise PlacementError(
            f"model.offloadFolder: {offload_folder} cannot be written ({error.strerror}); choose another folder."
        ) from error
    return str(folder)
