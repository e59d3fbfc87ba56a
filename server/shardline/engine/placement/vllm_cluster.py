"""Model on the GPUs of several machines, as vLLM lays it out.

Each layer is cut over the GPUs of one machine (tensor parallel), and the layers go from machine to machine (pipeline
parallel). Knows the model by its sizes alone, and no torch.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from shardline.engine.plan import in_words

UTILIZATION = 0.9
"""The share of a GPU that vLLM takes: the rest is for CUDA itself and for what connects the GPUs."""

BATCHED_TOKENS = 2048
"""Tokens that vLLM computes in one step, set with `--max-num-batched-tokens`."""

VOCABULARY_PADDING = 64
"""vLLM makes a vocabulary a multiple of this, so that it can be cut."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """A model by the bytes of its parts: one layer's matrices, which are cut, and its other weights, which are not.

    `embedding` is that of one token, at the input and, unless they are `tied`, once more at the output; `kv_per_token`
    is what one layer keeps of a token; `width` and `inner` are how wide a layer and its feed-forward are.
    """

    model: str
    dtype: str
    layers: int
    matrices: int
    others: int
    embedding: int
    vocabulary: int
    tied: bool
    kv_per_token: int
    heads: int
    kv_heads: int
    width: int
    inner: int
    itemsize: int


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Machines of one kind, and how much they are to do: `sequences` at a time, of up to `context_tokens` each."""

    nodes: int
    gpus_per_node: int
    gpu_memory: int
    context_tokens: int
    sequences: int


@dataclass(frozen=True, kw_only=True)
class GpuShare:
    """Load of each GPU of one stage of the pipeline, in bytes; `gpus` of them hold the same."""

    node: int
    gpus: int
    layers: int
    weights: int
    kv_cache: int
    workspace: int
    limit: int

    @property
    def used(self) -> int:
        """All that is held."""
        return self.weights + self.kv_cache + self.workspace


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """Layout of a model on a cluster; `refusal` is empty where it fits, else it names the remedy."""

    sizes: Sizes
    cluster: Cluster
    tensor_parallel: int
    pipeline_parallel: int
    stages: tuple[GpuShare, ...]
    refusal: str = ""

    @property
    def fits(self) -> bool:
        """Whether every GPU can hold what it is given."""
        return not self.refusal

    def as_json(self) -> dict[str, Any]:
        """Return the plan as `shardline plan --engine vllm --json` prints it, without the commands."""
        return {
            "model": self.sizes.model,
            "dtype": self.sizes.dtype,
            "fits": self.fits,
            **asdict(self.cluster),
            "tensor_parallel_size": self.tensor_parallel,
            "pipeline_parallel_size": self.pipeline_parallel,
            "stages": [asdict(stage) for stage in self.stages],
            "warnings": [self.refusal] if self.refusal else [],
        }


def lay_out(sizes: Sizes, cluster: Cluster) -> ClusterPlan:
    """Cut layers as often as can be, which makes each token faster; into as few stages as hold them, which does not."""
    plans = [_plan(sizes, cluster, tensor, stages) for tensor, stages in _ways(sizes, cluster)]
    fitting = next((plan for plan in plans if plan.fits), None)
    if fitting or not plans:
        return fitting or _refused(sizes, cluster)
    return min(plans, key=lambda plan: max(stage.used for stage in plan.stages))


def layers_of_stages(layers: int, stages: int) -> list[int]:
    """Return the layers of each stage as vLLM deals them: evenly, the rest to the stages before the last."""
    dealt = [layers // stages] * stages
    for number in range(layers % stages):
        dealt[-2 - number] += 1
    return dealt


def _ways(sizes: Sizes, cluster: Cluster) -> Iterator[tuple[int, int]]:
    """Over how many GPUs a layer could be cut, and into how many stages the layers could go; the best first.

    A layer stays on one machine, as its parts have to talk at each step. Each machine has as many stages.
    """
    common = math.gcd(sizes.heads, sizes.kv_heads, sizes.inner)
    for tensor in range(min(common, cluster.gpus_per_node), 0, -1):
        if common % tensor:
            continue
        for stages in range(1, cluster.gpus_per_node // tensor + 1):
            if stages * cluster.nodes <= sizes.layers:
                yield tensor, stages * cluster.nodes


def _plan(sizes: Sizes, cluster: Cluster, tensor: int, pipeline: int) -> ClusterPlan:
    stages = tuple(_shares(sizes, cluster, tensor, pipeline))
    plan = ClusterPlan(sizes=sizes, cluster=cluster, tensor_parallel=tensor, pipeline_parallel=pipeline, stages=stages)
    fullest = max(stages, key=lambda stage: stage.used)
    if fullest.used <= fullest.limit:
        return plan
    return ClusterPlan(**{**plan.__dict__, "refusal": _refusal(plan, fullest)})


def _shares(sizes: Sizes, cluster: Cluster, tensor: int, pipeline: int) -> Iterator[GpuShare]:
    tokens = cluster.sequences * cluster.context_tokens
    rows = -(-sizes.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
    table = -(-rows // tensor) * sizes.embedding
    for number, layers in enumerate(layers_of_stages(sizes.layers, pipeline)):
        tables = [number == 0, number == pipeline - 1]
        both_are_one = sizes.tied and all(tables)
        yield GpuShare(
            node=number * cluster.nodes // pipeline,
            gpus=tensor,
            layers=layers,
            weights=layers * (-(-sizes.matrices // tensor) + sizes.others) + (sum(tables) - both_are_one) * table,
            kv_cache=layers * tokens * -(-sizes.kv_per_token // tensor),
            workspace=_workspace(sizes, cluster, tensor),
            limit=int(cluster.gpu_memory * UTILIZATION),
        )


def _workspace(sizes: Sizes, cluster: Cluster, tensor: int) -> int:
    """Return the bytes of the widest step: the feed-forward of all its tokens, and logits for each sequence."""
    feed_forward = BATCHED_TOKENS * (4 * sizes.width + -(-3 * sizes.inner // tensor)) * sizes.itemsize
    return feed_forward + 2 * cluster.sequences * sizes.vocabulary * 4


def _refusal(plan: ClusterPlan, fullest: GpuShare) -> str:
    sizes, cluster = plan.sizes, plan.cluster
    helps = ["more nodes, or more GPUs in each", "GPUs with more memory", "a smaller --model"]
    room = fullest.limit - fullest.weights - fullest.workspace
    fewer = room * cluster.sequences // fullest.kv_cache if room > 0 else 0
    if fewer:
        helps.insert(0, f"--sequences {fewer} or less, or a --context-tokens that is lower as much")
    return (
        f"{sizes.model} in {sizes.dtype} does not fit: a GPU would hold {in_words(fullest.weights)} of weights, "
        f"{in_words(fullest.kv_cache)} of KV cache for {cluster.sequences} sequences of {cluster.context_tokens} "
        f"tokens and {in_words(fullest.workspace)} of workspace, of which vLLM may take {in_words(fullest.limit)}. "
        f"What would help: {'; '.join(helps)}."
    )


def _refused(sizes: Sizes, cluster: Cluster) -> ClusterPlan:
    """For more machines than the model has layers."""
    refusal = (
        f"{sizes.model} has {sizes.layers} layers, too few for a stage on each of {cluster.nodes} nodes; use fewer "
        "--nodes."
    )
    return ClusterPlan(sizes=sizes, cluster=cluster, tensor_parallel=1, pipeline_parallel=1, stages=(), refusal=refusal)
