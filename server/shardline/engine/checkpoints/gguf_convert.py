"""Conversion of a GGUF file to a folder for Hugging Face's loaders.

Knows the format by the gguf package and transformers' tables, not by itself.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from shardline.engine import Progress, Report
from shardline.engine.checkpoints.config_values import check_sizes
from shardline.engine.checkpoints.empty_model import empty_model
from shardline.engine.checkpoints.gguf_file import open_gguf
from shardline.engine.checkpoints.gguf_names import stored_bits
from shardline.engine.checkpoints.manifest import STORED_BITS
from shardline.engine.plan import GIB
from shardline.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

SHARD_BYTES = GIB
"""Weights are written in files of about this size, so that memory never holds more of the model."""

STORED_AS = torch.bfloat16
"""Finer than any quantization it comes from, and what CPUs and GPUs both compute well."""


def write_outline(file: Path, folder: Path) -> "PreTrainedConfig":
    """Write the config and the tokenizer of `file`; returns the config."""
    from transformers import AutoConfig, AutoTokenizer  # lazy: takes a second, and files are unpacked once
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    bits = stored_bits(file)  # first: whatever it announces is then known to be there
    values: dict[str, Any] = load_gguf_checkpoint(str(file))["config"]
    check_sizes(values)
    config = AutoConfig.for_model(values.pop("model_type"), dtype=STORED_AS, **values)
    config.save_pretrained(folder)
    (folder / STORED_BITS).write_text(json.dumps(bits), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(
        str(file.parent), gguf_file=file.name, trust_remote_code=False, local_files_only=True
    )
    tokenizer.save_pretrained(folder)
    return config


def write_weights(file: Path, config: "PreTrainedConfig", folder: Path, report: Report) -> None:
    """Write the weights of `file` as safetensors."""
    import gguf
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    reader = open_gguf(file)
    architecture = str(reader.fields["general.architecture"].contents())
    names = _names(architecture, config)
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=config.to_dict())
    total = sum(int(tensor.n_elements) for tensor in reader.tensors)
    shard: dict[str, Tensor] = {}
    weight_map: dict[str, str] = {}
    done = 0
    for number, tensor in enumerate(reader.tensors):
        report(Progress(activity=f"Unpacking {file.name}", done=done, total=total, unit="parameters"))
        dense = gguf.dequantize(tensor.data, tensor.tensor_type)
        result = processor.process(
            weights=dense, name=tensor.name, tensor_key_mapping=names, parsed_parameters={"tensors": {}}
        )
        if result.name in names:
            shard[names[result.name]] = torch.from_numpy(result.weights.copy()).to(STORED_AS)
        done += int(tensor.n_elements)
        last = number == len(reader.tensors) - 1
        if last or sum(weight.nbytes for weight in shard.values()) >= SHARD_BYTES:
            shard_name = f"model-{number:05}.safetensors"
            save_file(shard, folder / shard_name, metadata={"format": "pt"})
            weight_map.update(dict.fromkeys(shard, shard_name))
            shard = {}
    missing = sorted(set(names.values()) - set(weight_map))
    if missing:
        raise CheckpointError(f"model.name: {file} has no weights for {missing[0]}.")
    index = {"metadata": {"total_size": 2 * total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _names(architecture: str, config: "PreTrainedConfig") -> dict[str, str]:
    """Map the names that GGUF gives tensors to those of the model's own parameters."""
    import gguf

    known = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    if architecture not in known:
        raise CheckpointError(f"model.name: GGUF models of the kind {architecture!r} are not supported.")
    table = gguf.get_tensor_name_map(known[architecture], config.num_hidden_layers)
    names = {}
    for name, _ in empty_model(config, STORED_AS).named_parameters():
        stem, _, kind = name.rpartition(".")
        if gguf_name := table.get_name(stem):
            names[f"{gguf_name}.{kind}"] = name
    return names
