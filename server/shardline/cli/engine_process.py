"""Process of the shared engine, controlled over standard input and output."""

import json
import os
import secrets
import sys
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from shardline import logs
from shardline.engine import Report
from shardline.engine.local.engine import LocalEngine
from shardline.engine.plan import Plan
from shardline.engine.shared import registry
from shardline.http import engine_api
from shardline.http.app import Access
from shardline.http.listener import Address, serve
from shardline.settings import ModelSettings, Settings, merge_strictly

if TYPE_CHECKING:
    from shardline.engine.local.runner import Runner


def engine_process() -> None:
    """Serve the model until nobody was there for a while; ends the process."""
    order = json.load(sys.stdin)
    settings = merge_strictly(Settings(), order["settings"], "A language server")
    logs.configure(settings.log.level)

    beside = Plan.from_json(order["beside"]) if order["beside"] else None

    def open_runner(model: ModelSettings, report: Report, _: Any) -> "Runner":
        from shardline.engine.local import opener  # imports torch

        return opener.open_runner(model, report, beside)

    engine = LocalEngine(settings.model, open_runner)
    key = secrets.token_urlsafe(32)
    with ExitStack() as stack:

        def announce(url: str) -> None:
            entry = stack.enter_context(registry.registered(settings.model, url=url, key=key))
            _tell(json.dumps(asdict(entry)))

        try:
            access = Access(key=key, idle=settings.engine.idle)
            serve(engine, settings, access, Address(), routes=engine_api.routes, on_listening=announce)
        finally:
            engine.close()
    with suppress(OSError):  # no room on the disk of the log
        sys.stderr.flush()
    os._exit(0)  # torch may still compute in the engine's thread


def _tell(line: str) -> None:
    """Say this to whoever has started this process, and nothing more."""
    os.write(1, line.encode() + b"\n")
    os.dup2(2, 1)
