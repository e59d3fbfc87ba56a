"""Which engine there is for some settings; the only place that picks one."""

from shardline.engine import Engine
from shardline.settings import Settings


def open_engine(settings: Settings) -> Engine:
    """Make the engine for these settings; does no work yet."""
    if not settings.remote.base_url:
        return _local(settings)
    from shardline.engine.remote.engine import RemoteEngine  # here, because who has no server needs no HTTP

    remote = RemoteEngine(settings)
    if settings.remote.fallback == "none":
        return remote
    from shardline.engine.remote.fallback import FallbackEngine

    return FallbackEngine(remote, lambda: _local(settings))


def _local(settings: Settings) -> Engine:
    from shardline.engine.local import LocalEngine

    return LocalEngine(settings.model)
