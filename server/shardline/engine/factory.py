"""Engine for given settings, as an editor needs it."""

from shardline.engine import Engine
from shardline.errors import SettingsError
from shardline.settings import Settings


def open_engine(settings: Settings) -> Engine:
    """Make the engine for these settings; does no work yet. Each is imported where it is picked: one is needed."""
    if settings.is_remote:
        return _remote(settings)
    if settings.engine.mode == "remote":
        raise SettingsError("engine.mode is remote, but remote.baseUrl does not say where that is.")
    return _here(settings)


def _remote(settings: Settings) -> Engine:
    from shardline.engine.remote.engine import RemoteEngine

    remote = RemoteEngine(settings)
    if settings.remote.fallback == "none":
        return remote
    from shardline.engine.remote.fallback import FallbackEngine

    return FallbackEngine(remote, lambda: _here(settings))


def _here(settings: Settings) -> Engine:
    if settings.engine.mode == "inprocess":
        from shardline.engine.local.engine import LocalEngine

        return LocalEngine(settings.model)
    from shardline.engine.shared.engine import SharedEngine

    return SharedEngine(settings)
