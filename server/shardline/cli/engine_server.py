"""`shardline serve`: the engine over HTTP on an address of this machine."""

import asyncio
import functools
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from shardline import logs
from shardline.engine import Progress
from shardline.engine.local.engine import LocalEngine
from shardline.engine.shared import control, registry
from shardline.errors import EngineError, SettingsError
from shardline.http import api_key, engine_api
from shardline.http.app import Access
from shardline.http.listener import Address, serve
from shardline.settings import Settings
from shardline.terminal import printable


def engine_server(settings: Settings, address: Address, *, key_file: Path | None, idle: float | None) -> None:
    """Serve the model of `settings` until it is ended, or nobody was there for `idle` seconds; ends the process.

    The user's language servers find it as they find an engine of their own, where only this machine reaches it.
    """
    if (address.certificate is None) != (address.private_key is None):
        raise SettingsError("--ssl-certfile and --ssl-keyfile belong together.")
    logs.configure(settings.log.level)
    secret, source = _key(key_file)
    is_private = address.is_loopback and not address.certificate
    stack = ExitStack()

    def announce(url: str) -> None:
        asyncio.run(control.end_unused(_tell))  # they may have the memory that this one needs
        if is_private:
            try:
                stack.enter_context(registry.registered(settings.model, url=url, key=secret))
            except EngineError as error:
                sys.stderr.write(printable(f"{error} Editors stay with that one, and the model is loaded twice.\n"))
        print(f"Listening on {url}", flush=True)  # noqa: T201
        if sys.stdout.isatty():
            print(f"To look at it: {url}/#token={secret}", flush=True)  # noqa: T201
        sys.stderr.write(f"The API key is in {source}\n")
        if not (address.is_loopback or address.certificate):
            sys.stderr.write("Whoever is on the way can read your code: use --ssl-certfile and --ssl-keyfile.\n")
        sys.stderr.flush()

    engine = LocalEngine(settings.model)
    access = Access(key=secret, host=address.host, idle=idle)
    routes = functools.partial(engine_api.routes, stays=True) if is_private else lambda _: ()
    with stack:
        try:
            serve(engine, settings, access, address, routes=routes, on_listening=announce)
        finally:
            engine.close()
    sys.stderr.flush()
    os._exit(0)  # torch may still compute in the engine's thread


def _tell(progress: Progress) -> None:
    sys.stderr.write(f"{progress.activity}.\n")


def _key(file: Path | None) -> tuple[str, str]:
    """Return the key and where it is kept."""
    if file is None and (given := os.environ.get(api_key.VARIABLE)):
        return api_key.check(given, api_key.VARIABLE), api_key.VARIABLE
    file = file or api_key.own_file()
    return api_key.read_or_make(file), str(file)
