"""A Llama small enough to read: 4 layers, 32 wide, a tokenizer of 400 byte pairs, random weights that never change."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CODE = [
    "def add(a, b):\n    return a + b\n",
    "for index, name in enumerate(names):\n    print(index, name)\n",
    "class Stack:\n    def __init__(self):\n        self.items = []\n",
]


def tokenizer() -> Tokenizer:
    result = Tokenizer(models.BPE())
    result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    result.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>", "<|begin|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    result.train_from_iterator(CODE * 3, trainer)
    return result


def config(**changes: object) -> LlamaConfig:
    values = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 0,
        "dtype": "float32",
    }
    return LlamaConfig(**{**values, **changes})


def make(folder: Path, **changes: object) -> Path:
    """Write the model to `folder` as safetensors."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(config(**changes))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)  # wide enough that the likeliest token is clear
    model.to(model.config.dtype).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer(), eos_token="<|end|>").save_pretrained(folder)
    return folder
