"""Settings as a user writes them."""

from typing import Any

from shardline.settings import ModelSettings, Settings, camel, merge_strictly


def model_settings(**values: Any) -> ModelSettings:
    """Return the settings of a model, parsed from `values`; raises `SettingsError`."""
    written = {camel(name): value for name, value in values.items()}
    return merge_strictly(Settings(), {"model": written}, "test").model
