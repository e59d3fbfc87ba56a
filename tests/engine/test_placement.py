"""Plans, made on the meta device: nothing is left out, nothing overflows, and a refusal says what would help."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, LlamaConfig, PreTrainedConfig

from shardline.engine.models.llama.config import shape_of
from shardline.engine.placement.device_map import modules, place
from shardline.engine.placement.meta_model import Skeleton, build_skeleton
from shardline.engine.plan import GIB, KIB, MIB, Plan
from shardline.errors import SettingsError
from tests import tiny
from tests.parsed import model_settings

CODELLAMA_7B = LlamaConfig(
    hidden_size=4096,
    intermediate_size=11008,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=32,
    vocab_size=32016,
    rms_norm_eps=1e-5,
    max_position_embeddings=16384,
    tie_word_embeddings=False,
)
ARTICLE: dict[str, str | int] = {"1": "5GiB", "2": "5GiB", "3": "7GiB"}


def skeleton(config: PreTrainedConfig, dtype: torch.dtype = torch.float16, context: int = 4096) -> Skeleton:
    return build_skeleton(config, dtype=dtype, context_tokens=context, prefill_tokens=256)


def plan(config: PreTrainedConfig, dtype: torch.dtype = torch.float16, context: int = 4096, **wish: Any) -> Plan:
    model = skeleton(config, dtype, context)
    return place(model, model_settings(name="the-model", **wish), context_tokens=context)


def layer_devices(device_map: Mapping[str, Any], layers: int = 32) -> list[Any]:
    return [device_map[f"model.layers.{number}"] for number in range(layers)]


def test_the_articles_cards_hold_codellama_7b_in_order() -> None:
    result = plan(CODELLAMA_7B, max_memory=ARTICLE)
    assert result.fits
    devices = layer_devices(result.device_map)
    assert devices == sorted(devices)
    assert set(devices) == {1, 2, 3}
    assert result.device_map["model.embed_tokens"] == 1
    assert result.device_map["lm_head"] == 3
    for share in result.devices:
        assert share.limit is not None
        assert share.used <= share.limit


def test_weights_kv_cache_and_layers_add_up() -> None:
    result = plan(CODELLAMA_7B, max_memory=ARTICLE)
    assert sum(share.layers for share in result.devices) == 32
    assert sum(share.kv_cache for share in result.devices) == 4096 * 512 * KIB
    parameters = 2 * 32016 * 4096 + 4096 + 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096)
    assert sum(share.weights for share in result.devices) == pytest.approx(2 * parameters, rel=1e-6)


def test_kv_cache_is_counted_with_grouped_heads() -> None:
    codellama_34b = LlamaConfig(
        hidden_size=8192,
        intermediate_size=22016,
        num_hidden_layers=48,
        num_attention_heads=64,
        num_key_value_heads=8,
        vocab_size=32000,
    )
    result = plan(codellama_34b, max_memory={"0": "80GiB"}, context=1024)
    assert result.devices[0].kv_cache == 1024 * 192 * KIB


def test_layers_stay_whole() -> None:
    result = plan(CODELLAMA_7B, max_memory=ARTICLE)
    assert not any(name.count(".") > 2 for name in result.device_map)


def test_the_fewest_devices_are_used() -> None:
    assert set(plan(CODELLAMA_7B, max_memory={"0": "24GiB", "1": "24GiB"}).device_map.values()) == {0}
    assert set(plan(CODELLAMA_7B, max_memory={"0": "8GiB", "1": "12GiB", "2": "16GiB"}).device_map.values()) == {2}
    assert set(plan(CODELLAMA_7B, max_memory={"0": "8GiB", "1": "4GiB", "2": "8GiB"}).device_map.values()) == {0, 2}


def test_balanced_spreads_and_low_0_spares_the_first_device() -> None:
    three = {"0": "24GiB", "1": "24GiB", "2": "24GiB"}
    spread = plan(CODELLAMA_7B, max_memory=three, device_map="balanced")
    counts = [share.layers for share in spread.devices]
    assert len(counts) == 3
    assert max(counts) - min(counts) <= 4
    spared = plan(CODELLAMA_7B, max_memory=three, device_map="balanced_low_0")
    assert 0 not in spared.device_map.values()


def test_balanced_low_0_works_without_device_0() -> None:
    spared = plan(CODELLAMA_7B, max_memory={"1": "24GiB", "2": "24GiB"}, device_map="balanced_low_0")
    assert spared.fits
    assert set(spared.device_map.values()) == {2}


def test_sequential_fills_the_first_device_first() -> None:
    result = plan(CODELLAMA_7B, max_memory={"0": "6GiB", "1": "24GiB"}, device_map="sequential")
    assert {share.device for share in result.devices} == {0, 1}
    assert result.devices[0].layers == 12


@pytest.mark.parametrize("device", ["cpu", "cuda:1", 1, "1"])
def test_one_device_takes_all(device: str | int) -> None:
    result = plan(CODELLAMA_7B, device_map=device, max_memory={"1": "24GiB", "cpu": "24GiB"})
    assert len(result.devices) == 1
    assert result.fits
    assert result.devices[0].layers == 32


def test_the_disk_is_used_only_when_asked_for() -> None:
    little = {"cpu": "10GiB"}
    refused = plan(CODELLAMA_7B, max_memory=little)
    assert not refused.fits
    asked = plan(CODELLAMA_7B, max_memory=little, offload_folder="somewhere")
    assert asked.fits
    assert "disk" in asked.device_map.values()
    assert any("disk" in warning and "slow" in warning for warning in asked.warnings)


def test_offloaded_layers_keep_their_kv_cache_where_they_are_computed() -> None:
    result = plan(CODELLAMA_7B, max_memory={"0": "8GiB", "cpu": "16GiB"})
    gpu, cpu = result.devices
    assert (gpu.device, cpu.device) == (0, "cpu")
    assert gpu.kv_cache == 2 * GIB
    assert cpu.kv_cache == 0
    assert gpu.limit is not None
    assert gpu.used <= gpu.limit


def test_two_waiting_layers_are_counted_where_the_lean_decoder_computes_them() -> None:
    shape = shape_of({**CODELLAMA_7B.to_dict(), "eos_token_id": 2})
    model = build_skeleton(shape, dtype=torch.float16, context_tokens=4096, prefill_tokens=256)
    wish = model_settings(max_memory={"0": "8GiB", "cpu": "16GiB"})
    result = place(model, wish, context_tokens=4096)
    gpu, cpu = result.devices
    layer = 2 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096)
    assert result.fits
    assert gpu.workspace == model.workspace + 2 * layer
    assert gpu.kv_cache == 2 * GIB
    assert cpu.workspace == 0
    assert gpu.missing == 0
    assert gpu.layers > 8


def test_a_refusal_says_by_how_much_and_what_would_help() -> None:
    refused = plan(CODELLAMA_7B, max_memory={"0": "14GiB"})
    assert "2.0 GiB for the KV cache of 4096 tokens" in refused.refusal
    assert "find no room" in refused.refusal
    for help_ in ("model.maxMemory", "model.contextTokens", "model.offloadFolder", "cpu"):
        assert help_ in refused.refusal


def test_the_context_that_a_refusal_proposes_fits() -> None:
    refused = plan(CODELLAMA_7B, max_memory={"0": "14GiB"})
    proposed = int(refused.refusal.partition("model.contextTokens to ")[2].split()[0])
    assert plan(CODELLAMA_7B, max_memory={"0": "14GiB"}, context=proposed).fits


def test_the_memory_that_a_refusal_asks_for_is_enough() -> None:
    refused = plan(CODELLAMA_7B, max_memory={"0": "14GiB"})
    raised = refused.refusal.partition("raise model.maxMemory by ")[2].split()
    assert raised[1].rstrip(";") in ("MiB", "GiB")
    more = int(float(raised[0]) * (GIB if raised[1].startswith("GiB") else MIB) * 1.1)
    assert plan(CODELLAMA_7B, max_memory={"0": 14 * GIB + more}).fits


def test_an_explicit_map_is_taken_as_it_is() -> None:
    wish = {"model": 0, "lm_head": "cuda:1"}
    assert dict(plan(CODELLAMA_7B, device_map=wish, max_memory={"0": "24GiB", "1": "24GiB"}).device_map) == {
        "model": 0,
        "lm_head": 1,
    }


def test_layers_on_device_0_are_counted_there_even_where_another_device_comes_first() -> None:
    result = plan(CODELLAMA_7B, device_map={"lm_head": 1, "model": 0}, max_memory={"0": "24GiB", "1": "24GiB"})
    assert {share.device: share.layers for share in result.devices} == {0: 32, 1: 0}
    assert {share.device: share.kv_cache for share in result.devices} == {0: 2 * GIB, 1: 0}


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"device_map": {"model": 0}}, "leaves out 'lm_head.weight'"),
        ({"device_map": {"modell": 0, "lm_head": 0}}, "'modell', which the model does not have"),
        ({"device_map": "gpu"}, "model.deviceMap: 'gpu' is no device"),
        ({"max_memory": {"0": "5 apples"}}, "model.maxMemory: '5 apples' for 0 is no size"),
        ({"max_memory": {"0": -1}}, "is no size"),
        ({"max_memory": {"tpu": "5GiB"}}, "model.maxMemory: 'tpu' is no device"),
        ({"max_memory": {}}, "names no device to compute on"),
        ({"max_memory": {"disk": "80GiB"}}, "names no device to compute on"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_in_words(wish: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        plan(CODELLAMA_7B, **wish)


def test_a_plan_goes_through_json_and_back() -> None:
    fits, refused = (plan(CODELLAMA_7B, max_memory={"0": size, "cpu": "1MiB"}) for size in ("24GiB", "8GiB"))
    assert fits.fits
    assert not refused.fits
    for made in (fits, refused, replace(fits, warnings=("one", "another"), draft=refused)):
        assert Plan.from_json(json.loads(json.dumps(made.as_json()))) == made


def test_devices_that_are_not_here_are_warned_of() -> None:
    assert "Device 7 is not on this machine." in plan(CODELLAMA_7B, max_memory={"7": "24GiB"}).warnings


def test_other_architectures_are_planned_too() -> None:
    result = plan(GPT2Config(), torch.float32, context=1024, max_memory={"0": "300MiB", "1": "400MiB"})
    assert result.fits
    assert sum(share.layers for share in result.devices) == 12
    assert sum(share.kv_cache for share in result.devices) == 12 * 2 * 768 * 1024 * 4


def test_tied_weights_are_counted_once() -> None:
    tied = plan(tiny.config(tie_word_embeddings=True), torch.float32, context=64, device_map="cpu")
    untied = plan(tiny.config(), torch.float32, context=64, device_map="cpu")
    assert untied.devices[0].weights - tied.devices[0].weights == 400 * 32 * 4


def test_modules_are_listed_with_type_size_and_device() -> None:
    model = skeleton(CODELLAMA_7B)
    made = place(model, model_settings(max_memory=ARTICLE), context_tokens=4096)
    listed = {module["name"]: module for module in modules(model, made, depth=3)}
    layer = listed["model.layers.0"]
    assert layer["type"] == "LlamaDecoderLayer"
    assert layer["parameters"] == 202_383_360
    assert layer["bytes"] == 2 * layer["parameters"]
    assert layer["device"] == 1
    assert listed[""]["device"] == [1, 2, 3]
    assert "model.layers.0.mlp" not in listed


@settings(max_examples=60, deadline=None)
@given(
    limits=st.dictionaries(st.sampled_from(["0", "1", "2", "cpu"]), st.integers(400 * KIB, 3 * MIB), min_size=1),
    strategy=st.sampled_from(["auto", "balanced", "balanced_low_0", "sequential"]),
    disk=st.booleans(),
)
def test_a_plan_that_fits_keeps_every_limit_and_places_every_module(
    limits: dict[str, int], strategy: str, disk: bool
) -> None:
    config = tiny.config()
    model = skeleton(config, torch.float32, context=32)
    wish = model_settings(max_memory=limits, device_map=strategy, offload_folder="x" if disk else None)
    result = place(model, wish, context_tokens=32)
    assert sum(share.layers for share in result.devices) == 4
    total = sum(weight.nbytes for weight in model.model.parameters())
    assert sum(share.weights for share in result.devices) >= total
    if result.fits:
        assert all(share.missing == 0 for share in result.devices)
        assert disk or "disk" not in result.device_map.values()
