"""Modules of a Llama on the meta device, named as in transformers."""

import torch
from torch import nn

from shardline.engine.models.llama.config import Shape


class Weight(nn.Module):
    """A weight, and a bias if there is one."""

    def __init__(self, *size: int, bias: bool = False, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, dtype=dtype, device="meta"), requires_grad=False)
        if bias:
            self.bias = nn.Parameter(torch.empty(size[0], dtype=dtype, device="meta"), requires_grad=False)


class Attention(nn.Module):
    """The projections of one layer's attention."""

    def __init__(self, shape: Shape, dtype: torch.dtype) -> None:
        super().__init__()
        queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
        self.q_proj = Weight(queries, shape.hidden, bias=shape.qkv_bias, dtype=dtype)
        self.k_proj = Weight(keys, shape.hidden, bias=shape.qkv_bias, dtype=dtype)
        self.v_proj = Weight(keys, shape.hidden, bias=shape.qkv_bias, dtype=dtype)
        self.o_proj = Weight(shape.hidden, queries, bias=shape.out_bias, dtype=dtype)


class FeedForward(nn.Module):
    """The projections of one layer's feed-forward."""

    def __init__(self, shape: Shape, dtype: torch.dtype) -> None:
        super().__init__()
        self.gate_proj = Weight(shape.inner, shape.hidden, bias=shape.feed_bias, dtype=dtype)
        self.up_proj = Weight(shape.inner, shape.hidden, bias=shape.feed_bias, dtype=dtype)
        self.down_proj = Weight(shape.hidden, shape.inner, bias=shape.feed_bias, dtype=dtype)


class DecoderLayer(nn.Module):
    """One layer with residual connections."""

    def __init__(self, shape: Shape, dtype: torch.dtype) -> None:
        super().__init__()
        self.self_attn = Attention(shape, dtype)
        self.mlp = FeedForward(shape, dtype)
        self.input_layernorm = Weight(shape.hidden, dtype=dtype)
        self.post_attention_layernorm = Weight(shape.hidden, dtype=dtype)


class Rotary(nn.Module):
    """The frequencies of rotary embeddings, which device maps name too."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        for name in ("inv_freq", "original_inv_freq"):
            self.register_buffer(name, torch.empty(shape.head_size // 2, device="meta"), persistent=False)


class Decoder(nn.Module):
    """The embedding, all layers and the last norm."""

    def __init__(self, shape: Shape, dtype: torch.dtype) -> None:
        super().__init__()
        self.embed_tokens = Weight(shape.vocabulary, shape.hidden, dtype=dtype)
        self.layers = nn.ModuleList(DecoderLayer(shape, dtype) for _ in range(shape.layers))
        self.norm = Weight(shape.hidden, dtype=dtype)
        self.rotary_emb = Rotary(shape)


class Outline(nn.Module):
    """A causal language model of the Llama family, on the meta device."""

    def __init__(self, shape: Shape, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = Decoder(shape, dtype)
        self.lm_head = Weight(shape.vocabulary, shape.hidden, dtype=dtype)
        if shape.tied:
            self.lm_head.weight = self.model.embed_tokens.weight


def sizes_of(shape: Shape) -> dict[str, torch.Size]:
    """Return the shape of each parameter of a model by its name; a tied head has none of its own."""
    return {name: weight.shape for name, weight in Outline(shape, torch.float32).named_parameters()}
