"""Plans for several machines: what is said to fit fits by the sum of what is held, and the rest is refused in words."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from shardline.engine.checkpoints.checkpoint import Checkpoint
from shardline.engine.placement.vllm_cluster import (
    UTILIZATION,
    Cluster,
    ClusterPlan,
    Sizes,
    lay_out,
    layers_of_stages,
)
from shardline.engine.placement.vllm_sizes import sizes_of
from shardline.engine.plan import GIB
from shardline.settings import ModelSettings
from tests import codellama

clusters = st.builds(
    Cluster,
    nodes=st.integers(1, 5),
    gpus_per_node=st.integers(1, 9),
    gpu_memory=st.integers(1, 90).map(lambda size: size * GIB),
    context_tokens=st.sampled_from([512, 4096, 16384]),
    sequences=st.integers(1, 64),
)


@st.composite
def models(draw: st.DrawFn) -> Sizes:
    kv_heads, group, head_size = draw(st.integers(1, 12)), draw(st.integers(1, 8)), draw(st.sampled_from([64, 128]))
    width, inner = kv_heads * group * head_size, draw(st.integers(1, 64)) * 256
    keys = kv_heads * head_size
    return Sizes(
        model="some/model",
        dtype="bfloat16",
        layers=draw(st.integers(1, 90)),
        matrices=2 * width * (2 * width + 2 * keys + 3 * inner),
        others=2 * 2 * width,
        embedding=2 * width,
        vocabulary=draw(st.integers(1_000, 160_000)),
        tied=draw(st.booleans()),
        kv_per_token=2 * 2 * keys,
        heads=kv_heads * group,
        kv_heads=kv_heads,
        width=width,
        inner=inner,
        itemsize=2,
    )


@given(models(), clusters)
def test_what_is_said_to_fit_fits_and_nothing_of_the_model_is_left_out(sizes: Sizes, cluster: Cluster) -> None:
    plan = lay_out(sizes, cluster)
    event(f"fits: {plan.fits}")
    assume(plan.stages)
    tensor, stages = plan.tensor_parallel, plan.stages
    assert plan.fits == all(stage.used <= cluster.gpu_memory * UTILIZATION for stage in stages)
    assert bool(plan.refusal) != plan.fits
    assert len(stages) == plan.pipeline_parallel
    assert sum(stage.layers for stage in stages) == sizes.layers
    tables = (1 if sizes.tied and len(stages) == 1 else 2) * sizes.vocabulary * sizes.embedding
    whole = sizes.layers * sizes.matrices + tables
    assert sum(stage.weights for stage in stages) * tensor >= whole + tensor * sizes.layers * sizes.others
    kept = cluster.sequences * cluster.context_tokens * sizes.layers * sizes.kv_per_token
    assert sum(stage.kv_cache for stage in stages) * tensor >= kept


@given(models(), clusters)
def test_layers_are_cut_evenly_within_a_node_and_stages_lie_whole_on_one(sizes: Sizes, cluster: Cluster) -> None:
    plan = lay_out(sizes, cluster)
    assume(plan.stages)
    assert sizes.heads % plan.tensor_parallel == sizes.kv_heads % plan.tensor_parallel == 0
    assert sizes.inner % plan.tensor_parallel == 0
    used = [sum(stage.gpus for stage in plan.stages if stage.node == node) for node in range(cluster.nodes)]
    assert all(0 < gpus <= cluster.gpus_per_node for gpus in used)
    assert [stage.node for stage in plan.stages] == sorted(stage.node for stage in plan.stages)


@given(models(), clusters)
def test_more_memory_never_takes_away_a_plan(sizes: Sizes, cluster: Cluster) -> None:
    larger = Cluster(**{**cluster.__dict__, "gpu_memory": 2 * cluster.gpu_memory})
    assert lay_out(sizes, larger).fits or not lay_out(sizes, cluster).fits


@given(st.integers(1, 200), st.integers(1, 40))
def test_layers_are_dealt_out_as_vllm_does(layers: int, stages: int) -> None:
    assume(stages <= layers)
    dealt = layers_of_stages(layers, stages)
    assert sum(dealt) == layers
    assert max(dealt) - min(dealt) <= 1
    assert dealt[-1] == layers // stages


@pytest.fixture(scope="module")
def codellama_34b(tmp_path_factory: pytest.TempPathFactory) -> Sizes:
    folder = tmp_path_factory.mktemp("34b")
    (folder / "config.json").write_text(json.dumps({**codellama.CONFIG_34B, "torch_dtype": "bfloat16"}))
    return sizes_of(ModelSettings(name="34b"), Checkpoint(name="34b", folder=folder))


def plan_of(sizes: Sizes, **machines: Any) -> ClusterPlan:
    wish = {"nodes": 2, "gpus_per_node": 4, "gpu_memory": 80 * GIB, "context_tokens": 4096, "sequences": 16}
    return lay_out(sizes, Cluster(**{**wish, **machines}))


def test_codellama_34b_has_the_bytes_that_are_known_of_it(codellama_34b: Sizes) -> None:
    parameters = 48 * (codellama_34b.matrices + codellama_34b.others) // 2 + 2 * 32000 * 8192
    assert parameters == 33_743_962_112
    assert codellama_34b.kv_per_token * 48 == 192 * 1024


def test_two_machines_of_four_cut_layers_in_four_and_have_a_stage_each(codellama_34b: Sizes) -> None:
    plan = plan_of(codellama_34b)
    assert (plan.tensor_parallel, plan.pipeline_parallel) == (4, 2)
    assert [(stage.node, stage.layers) for stage in plan.stages] == [(0, 24), (1, 24)]
    assert plan_of(codellama_34b, gpus_per_node=16).tensor_parallel == 8  # no more than it has heads for keys
    assert plan_of(codellama_34b, gpus_per_node=3, gpu_memory=20 * GIB).pipeline_parallel == 6  # two do not hold it


def test_what_does_not_fit_is_refused_with_what_would_help(codellama_34b: Sizes) -> None:
    refused = plan_of(codellama_34b, gpus_per_node=1, gpu_memory=24 * GIB)
    assert "34b in bfloat16 does not fit: a GPU would hold" in refused.refusal
    assert "more nodes" in refused.refusal
    fewer = plan_of(codellama_34b, gpus_per_node=2, gpu_memory=24 * GIB, sequences=64)
    assert "What would help: --sequences " in fewer.refusal
    number = int(fewer.refusal.partition("--sequences ")[2].split()[0])
    assert plan_of(codellama_34b, gpus_per_node=2, gpu_memory=24 * GIB, sequences=number).fits
    assert "has 48 layers, too few" in plan_of(codellama_34b, nodes=49).refusal


def test_another_architecture_is_weighed_too(tmp_path: Path) -> None:
    config = {"model_type": "gpt2", "n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 1000, "n_positions": 256}
    (tmp_path / "config.json").write_text(json.dumps({**config, "dtype": "float32"}))
    sizes = sizes_of(ModelSettings(name="g"), Checkpoint(name="g", folder=tmp_path))
    assert sizes.layers == 3
    assert sizes.matrices == 4 * 12 * 64 * 64
    assert sizes.kv_per_token == 2 * 64 * 4
    assert plan_of(sizes, nodes=1, context_tokens=256).fits
