"""Which engine there is for some settings; the only place that picks one for an editor."""

from shardline.engine import Engine
from shardline.errors import SettingsError
from shardline.settings import Settings


def open_engine(settings: Settings) -> Engine:
    """Make the engine for these settings; does no work yet. Each is imported where it is picked: one is needed."""
    if settings.is_remote:
        return _remote(settings)
    if settings.engine.mode == "remote":
        raise SettingsError("engine.mode is remote, but remote.baseUrl does not say where that is.")
    if settings.engine.mode == "inprocess":
        return _local(settings)
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
