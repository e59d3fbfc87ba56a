"""The tiny model as a GGUF file."""

import copy
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from transformers import AutoModelForCausalLM

from tests import tiny


def write_gguf(source: Path, file: Path, kind: Kind = Kind.F32, **said: Any) -> None:
    """Write the tiny model in the folder `source` as llama.cpp's converter would.

    The file says of its config what is true, and what is `said` instead.
    """
    model = AutoModelForCausalLM.from_pretrained(source)
    config, tokenizer = copy.deepcopy(model.config), tiny.tokenizer()
    config.update(said)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    writer.add_token_list([piece for piece, _ in pieces])
    writer.add_token_types([3 if number < 2 else 1 for _, number in pieces])
    writer.add_token_merges([" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    rotated = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
    for name, weight in model.state_dict().items():
        array = weight.float().numpy()
        if heads := rotated.get(name.split(".")[-2]):  # llama.cpp rotates neighbouring pairs, Hugging Face halves
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        stem = names.get_name(name.removesuffix(".weight"))
        if array.ndim == 1:
            writer.add_tensor(f"{stem}.weight", array)
        else:
            packed = gguf.quantize(np.ascontiguousarray(array), kind)
            writer.add_tensor(f"{stem}.weight", packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
