"""Maps with layers that wait."""

from collections.abc import Mapping

from shardline.setting_values import Device

WAITING: Mapping[str, dict[str, Device]] = {
    "one": {"model.layers.1": "cpu"},
    "two": {"model.layers.1": "cpu", "model.layers.2": "cpu"},
    "three": {f"model.layers.{number}": "cpu" for number in range(3)},
    "apart": {"model.layers.0": "cpu", "model.layers.2": "cpu"},
    "and the head": {"model.layers.2": "cpu", "model.norm": "cpu", "lm_head": "cpu"},
    "and the embedding": {"model.embed_tokens": "cpu", "model.layers.0": "cpu"},
}
