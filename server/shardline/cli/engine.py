"""Which engine there is for some settings; the only place that picks one for an editor."""

from shardline.engine import Engine
from shardline.errors import SettingsError
from shardline.settings import Settings


def open_engine(settings: Settings) -> Engine:
    """Make the engine for these settings; does no work yet. Each is imported where it is picked: one is needed."""
    match settings.engine.mode:
        case "remote" if not settings.remote.base_url:
            raise SettingsError("engine.mode is remote, but remote.baseUrl does not say where that is.")
        case "remote":
            return _remote(settings)
        case "auto" if settings.remote.base_url:
            return _remote(settings)
        case "inprocess":
            return _local(settings)
        case _:
            from shardline.engine.shared import SharedEngine

            return SharedEngine(settings)


def _remote(settings: Settings) -> Engine:
    from shardline.engine.remote.engine import RemoteEngine

    remote = RemoteEngine(settings)
    if settings.remote.fallback == "none":
        return remote
    from shardline.engine.remote.fallback import FallbackEngine

    return FallbackEngine(remote, lambda: _local(settings))


def _local(settings: Settings) -> Engine:
    from shardline.engine.local import LocalEngine

    return LocalEngine(settings.model)
