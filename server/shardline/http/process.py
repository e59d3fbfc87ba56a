"""The process: an address of this machine, and uvicorn until somebody or nobody wants it to end."""

import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from shardline.engine import Engine
from shardline.errors import SettingsError, ShardlineError
from shardline.http.app import Door, Routes, make_app
from shardline.settings import Settings

LEAVE_SECONDS = 2
"""How long those who are still answered when it ends may take."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to listen; port 0 is any free one. `certificate` and `private_key` are files, for TLS."""

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    private_key: Path | None = None

    @property
    def scheme(self) -> str:
        """With TLS or without."""
        return "https" if self.certificate else "http"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def serve(
    engine: Engine,
    settings: Settings,
    door: Door,
    address: Address,
    *,
    routes: Routes = lambda _: (),
    on_listening: Callable[[str], None],
) -> None:
    """Serve until a signal, or the end of `door.idle`; tells `on_listening` the URL, before the model is loaded.

    Raises `SettingsError` where the address cannot be used, and what went wrong where the model cannot be loaded.
    """
    reason: ShardlineError | None = None

    def end(error: ShardlineError | None) -> None:
        nonlocal reason
        reason, server.should_exit = error, True

    config = uvicorn.Config(
        make_app(engine, settings, door, routes=routes, on_end=end),
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=LEAVE_SECONDS,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.private_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"--ssl-certfile and --ssl-keyfile cannot be used ({error}).") from error
    server = uvicorn.Server(config)
    with _bound(address) as listener:
        host = f"[{address.host}]" if ":" in address.host else address.host
        on_listening(f"{address.scheme}://{host}:{listener.getsockname()[1]}")
        with contextlib.suppress(KeyboardInterrupt):
            server.run([listener])
    if reason:
        raise reason


def _bound(address: Address) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place, family=family)
    except OSError as error:
        raise SettingsError(
            f"--host {address.host} --port {address.port} cannot be used ({error.strerror}); try another port."
        ) from error
