"""Language server over standard input and output, or over TCP."""

import gc
import ipaddress
import os
import sys
from collections.abc import Collection

from shardline import __version__, logs
from shardline.engine.factory import open_engine
from shardline.errors import SettingsError
from shardline.lsp import transport
from shardline.lsp.server import ShardlineServer
from shardline.settings import Settings


def serve(settings: Settings, tcp: str | None, key_names: Collection[str]) -> None:
    """Serve one client until it leaves; ends the process, at once, whatever the model is doing.

    The client may name the environment variables of `key_names` for the key of a server elsewhere.
    """
    address = None if tcp is None else _loopback(tcp)
    logs.configure(settings.log.level)
    server = ShardlineServer(__version__, settings, open_engine, key_names=key_names)
    gc.freeze()
    gc.enable()
    if address is None:
        if sys.stdin.isatty():
            sys.stderr.write("Editors start this and speak LSP with it; to see what it does, run `shardline demo`.\n")
        code = transport.serve_stdio(server)
    else:
        code = transport.serve_tcp(server, *address)
    sys.stderr.flush()
    os._exit(code)  # torch may still compute in the engine's thread


def _loopback(address: str) -> tuple[str, int]:
    """Read HOST:PORT, where the host is this machine: what is sent is not encrypted."""
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host in ("", "localhost") else host.strip("[]")
    try:
        inside, number = ipaddress.ip_address(host).is_loopback, int(port)
    except ValueError:
        raise SettingsError(f"--tcp {address} must look like --tcp 127.0.0.1:8765.") from None
    if not inside:
        raise SettingsError(
            f"--tcp {address} can be reached from other machines, and your code is sent unencrypted; "
            "use 127.0.0.1, and an SSH tunnel for an editor elsewhere."
        )
    if not 0 <= number < 65536:
        raise SettingsError(f"--tcp {address}: there is no port {number}.")
    return host, number
