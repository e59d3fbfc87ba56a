"""Listening socket and uvicorn server."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from shardline.engine import Engine
from shardline.errors import SettingsError, ShardlineError
from shardline.http.app import Access, Routes, make_app
from shardline.http.h11_limits import SECONDS, IdleConnections, LimitedProtocol
from shardline.settings import Settings

MAX_CONNECTIONS = 512
"""Open connections at once, if the process may have enough files."""

FILES = 4 * MAX_CONNECTIONS
"""File limit to request; half of it is for connections, accepted ones beyond the limit among them."""

LEAVE_SECONDS = 2
"""Time that running requests get to finish when the server ends."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address to listen at; port 0 is any free one. `certificate` and `private_key` are files, for TLS."""

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    private_key: Path | None = None

    @property
    def scheme(self) -> str:
        """The URL scheme: https with TLS."""
        return "https" if self.certificate else "http"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class LimitedServer(uvicorn.Server):
    """uvicorn with at most `limit` connections and timeouts for clients."""

    def __init__(self, config: uvicorn.Config, limit: int) -> None:
        super().__init__(config)
        self._idle = IdleConnections(limit)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and listen."""
        await super().startup([])
        for listener in sockets or []:
            server = await asyncio.get_running_loop().create_server(
                self._protocol,
                sock=listener,
                ssl=self.config.ssl,
                ssl_handshake_timeout=SECONDS if self.config.ssl else None,
                backlog=self.config.backlog,
            )
            self.servers.append(server)

    def _protocol(self) -> LimitedProtocol:
        state = self.lifespan.state
        return LimitedProtocol(self._idle, config=self.config, server_state=self.server_state, app_state=state)


def connection_limit() -> int:
    """Raise the process's file limit as far as needed and return how many connections it allows."""
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    import resource  # only on Unix

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        soft = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


def serve(
    engine: Engine,
    settings: Settings,
    access: Access,
    address: Address,
    *,
    routes: Routes = lambda _: (),
    on_listening: Callable[[str], None],
) -> None:
    """Serve until a signal or the end of `access.idle`; call `on_listening` with the URL before the model is loaded.

    Raises `SettingsError` if the address cannot be used, and the engine's error if the model cannot be loaded.
    """
    reason: ShardlineError | None = None

    def end(error: ShardlineError | None) -> None:
        nonlocal reason
        reason, server.should_exit = error, True

    limit = connection_limit()
    config = uvicorn.Config(
        make_app(engine, settings, access, routes=routes, on_end=end),
        backlog=limit // 2,  # accepted ones beyond the limit stay open for a moment
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
    server = LimitedServer(config, limit)
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
