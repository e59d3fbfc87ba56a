"""The engine for many clients: HTTP on an address of this machine."""

import os
import sys
from pathlib import Path

from shardline import logs
from shardline.engine.local import LocalEngine
from shardline.errors import SettingsError
from shardline.http import key
from shardline.http.app import Door
from shardline.http.process import Address, serve
from shardline.settings import Settings


def engine_server(settings: Settings, address: Address, *, key_file: Path | None, idle: float | None) -> None:
    """Serve the model of `settings` until it is ended, or nobody was there for `idle` seconds; ends the process."""
    if (address.certificate is None) != (address.private_key is None):
        raise SettingsError("--ssl-certfile and --ssl-keyfile belong together.")
    logs.configure(settings.log.level)
    secret, source = _key(key_file)

    def tell(url: str) -> None:
        print(f"Listening on {url}", flush=True)  # noqa: T201
        if sys.stdout.isatty():
            print(f"To look at it: {url}/#token={secret}", flush=True)  # noqa: T201
        sys.stderr.write(f"The API key is in {source}\n")
        if not (address.is_loopback or address.certificate):
            sys.stderr.write("Whoever is on the way can read your code: use --ssl-certfile and --ssl-keyfile.\n")
        sys.stderr.flush()

    engine = LocalEngine(settings.model)
    try:
        serve(engine, settings, Door(key=secret, host=address.host, idle=idle), address, on_listening=tell)
    finally:
        engine.close()
    sys.stderr.flush()
    os._exit(0)  # torch may still compute in the engine's thread


def _key(file: Path | None) -> tuple[str, str]:
    """The key, and where it is."""
    if file is None and (given := os.environ.get(key.VARIABLE)):
        return key.check(given, key.VARIABLE), key.VARIABLE
    file = file or key.own_file()
    return key.read_or_make(file), str(file)
