"""Names of tensors in GGUF files and in Hugging Face's models."""

from pathlib import Path

from gguf import GGMLQuantizationType as Kind

from shardline.engine.checkpoints.gguf_file import open_gguf

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

_MODULES = {stored: module for module, stored in NAMES.items()}


def stored_bits(file: Path) -> dict[str, int]:
    """Return the bits of the weights that stay packed, by their names in Hugging Face's models."""
    bits = {Kind.Q4_0: 4, Kind.Q4_1: 4, Kind.Q8_0: 8}
    return {
        name: bits[tensor.tensor_type]
        for tensor in open_gguf(file).tensors
        if tensor.tensor_type in bits and (name := own_name(tensor.name))
    }


def stored_name(name: str) -> str:
    """Return the GGUF name of a tensor that Hugging Face's models call `name`."""
    stem, _, kind = name.rpartition(".")
    if stem.startswith("model.layers."):
        number, _, module = stem.removeprefix("model.layers.").partition(".")
        return f"blk.{number}.{NAMES[module]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def own_name(stored: str) -> str | None:
    """Return the Hugging Face name of the GGUF tensor `stored`; `None` for one that models lack."""
    stem, _, kind = stored.rpartition(".")
    if stem.startswith("blk."):
        number, _, part = stem.removeprefix("blk.").partition(".")
        module = _MODULES.get(part)
        return f"model.layers.{number}.{module}.{kind}" if module else None
    module = _MODULES.get(stem)
    return f"{module}.{kind}" if module else None
