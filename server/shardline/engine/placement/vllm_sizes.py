"""Bytes of a model's parts, for a plan of another machine."""

from collections.abc import Iterable

from torch import Tensor

from shardline.engine.checkpoints.checkpoint import Checkpoint
from shardline.engine.models.llama.config import shape_of
from shardline.engine.placement import planner
from shardline.engine.placement.meta_model import build_skeleton, widths_of
from shardline.engine.placement.vllm_cluster import Sizes
from shardline.settings import ModelSettings


def sizes_of(settings: ModelSettings, source: Checkpoint) -> Sizes:
    """Return the sizes of the model in the dtype of the settings; layers count as large as the largest."""
    made_of = shape_of(source.values) or source.config()
    widths, dtype = widths_of(made_of), source.dtype(settings.dtype)
    tokens = planner.context_tokens(settings, source)
    skeleton = build_skeleton(made_of, dtype=dtype, context_tokens=tokens, prefill_tokens=tokens)
    layers = [list(skeleton.model.get_submodule(name).parameters()) for name in skeleton.layers]
    return Sizes(
        model=settings.name,
        dtype=str(dtype).removeprefix("torch."),
        layers=len(layers),
        matrices=max(_bytes(weight for weight in layer if weight.dim() > 1) for layer in layers),
        others=max(_bytes(weight for weight in layer if weight.dim() == 1) for layer in layers),
        embedding=widths.hidden * dtype.itemsize,
        vocabulary=widths.vocabulary,
        tied=source.config().get_text_config().tie_word_embeddings,
        kv_per_token=skeleton.kv_cache_per_layer // tokens,
        heads=widths.heads,
        kv_heads=widths.kv_heads,
        width=widths.hidden,
        inner=widths.inner,
        itemsize=dtype.itemsize,
    )


def _bytes(weights: Iterable[Tensor]) -> int:
    return sum(weight.nbytes for weight in weights)
