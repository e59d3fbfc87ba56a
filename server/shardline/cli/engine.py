"""Which engine there is for some settings; the only place that picks one for an editor."""

from shardline.engine import Engine
from shardline.errors import SettingsError
from shardline.settings import Settings


def open_engine(settings: Settings) -> Engine:
    """Make the engine for these settings; does no work yet."""
    match settings.engine.mode:
        case "remote":
            raise SettingsError("engine.mode is remote, but remote.baseUrl does not say where that is.")
        case "inprocess":
            from shardline.engine.local import LocalEngine  # here and below, because only one of them is needed

            return LocalEngine(settings.model)
        case _:
            from shardline.engine.shared import SharedEngine

            return SharedEngine(settings)
