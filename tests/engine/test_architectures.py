"""Any causal language model of transformers completes, and its cache changes nothing: not only Llama."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3NextConfig,
    Starcoder2Config,
)

from tests import tiny
from tests.engine.tiny_runner import CODE, chunks, open_tiny, text

pytestmark = pytest.mark.slow

SHAPE = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=400, n_positions=512, eos_token_id=0),
    "gpt-neox": GPTNeoXConfig(**SHAPE),
    "falcon": FalconConfig(
        **{key: SHAPE[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers")}, num_attention_heads=4
    ),
    "mistral with a sliding window": MistralConfig(**SHAPE, sliding_window=16),
    "qwen2": Qwen2Config(**SHAPE),
    "starcoder2": Starcoder2Config(**SHAPE),
    "gemma2, every second layer sliding": Gemma2Config(**SHAPE, sliding_window=16, query_pre_attn_scalar=8),
    "mamba, without attention": MambaConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=2, state_size=4, eos_token_id=0
    ),
    "qwen3-next, mixed": Qwen3NextConfig(
        **SHAPE,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention"],
    ),
}


@pytest.fixture(params=CONFIGS, scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[request.param], dtype=torch.float32)
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(path)
    PreTrainedTokenizerFast(tokenizer_object=tiny.tokenizer(), eos_token="<|end|>").save_pretrained(path)
    return path


def test_it_completes_and_cached_equals_uncached(folder: Path) -> None:
    prefixes = [CODE[:40], CODE[:41], CODE[:60], CODE[:20], CODE[:21], CODE]
    fresh = [text(open_tiny(folder), prefix, max_tokens=12) for prefix in prefixes]
    assert any(fresh)
    runner = open_tiny(folder)
    assert [text(runner, prefix, max_tokens=12) for prefix in prefixes] == fresh


def test_what_was_read_is_not_read_again_where_the_last_tokens_can_be_forgotten(folder: Path) -> None:
    runner = open_tiny(folder)
    chunks(runner, CODE, max_tokens=1)
    usage = chunks(runner, CODE[:40], max_tokens=1)[-1].usage
    forgets = runner.plan.devices[0].kv_cache > 0 and "linear_attention" not in (folder / "config.json").read_text()
    assert (usage.cached_tokens > 0.8 * usage.prompt_tokens) == forgets
