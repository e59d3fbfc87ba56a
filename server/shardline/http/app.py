"""The application: one engine, and every way to ask it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from shardline.engine import Engine
from shardline.errors import NotReadyError, ShardlineError
from shardline.http.admission import AGAIN_SECONDS, Admission
from shardline.http.connection import EndWithClient
from shardline.http.guard import Guard
from shardline.http.loading import Loading
from shardline.http.metrics import Counted, Metrics
from shardline.http.presence import Noticed, Presence
from shardline.http.refusals import RefusedError
from shardline.http.served import ServedEngine

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Door:
    """Who gets in: with which key, under which name of the machine, and for how many seconds nobody may be there."""

    key: str
    host: str = "127.0.0.1"
    idle: float | None = None


@dataclass(frozen=True, kw_only=True)
class Service:
    """What can be asked: an engine, how far it is, and `end`, which ends the process."""

    engine: ServedEngine
    loading: Loading
    end: Callable[[], None]


Routes = Callable[[Service], Sequence[BaseRoute]]
"""More ways to ask an engine."""


def make_app(
    engine: Engine,
    door: Door,
    *,
    routes: Routes = lambda _: (),
    on_end: Callable[[ShardlineError | None], None],
) -> Starlette:
    """Serve `engine`, which is loaded once the application runs, by the public protocols and those of `routes`.

    `on_end` is called when it should end: with what went wrong where the model cannot be loaded, with None where
    nobody was there for as long as `door` allows.
    """
    loading, admission = Loading(engine), Admission()
    metrics = Metrics(admission)
    presence = Presence(door.idle, lambda: on_end(None))
    served = ServedEngine(engine, loading, admission, metrics.add)
    service = Service(engine=served, loading=loading, end=lambda: on_end(None))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async def load() -> None:
            with presence.visit():
                try:
                    await loading.run()
                except ShardlineError as error:
                    on_end(error)

        task = asyncio.ensure_future(load())
        yield
        task.cancel()
        engine.close()

    async def health(_: Request) -> Response:
        return JSONResponse(loading.as_json(), 200 if loading.ready else 503)

    async def count(_: Request) -> Response:
        return metrics.answer()

    return Starlette(
        routes=[Route("/health", health), Route("/metrics", count), *routes(service)],
        middleware=[
            Middleware(Counted, metrics=metrics),
            Middleware(Guard, key=door.key, host=door.host),
            Middleware(Noticed, presence=presence),
            Middleware(EndWithClient),
        ],
        exception_handlers={HTTPException: _fail, ShardlineError: _fail, Exception: _fail},
        lifespan=lifespan,
    )


async def _fail(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        message = f"{error.detail}: {request.method} {request.url.path}"
        return RefusedError(message, status=error.status_code, headers=error.headers).answer()
    return refusal_of(error).answer()


def refusal_of(error: Exception) -> RefusedError:
    """How an error of the engine, or one that nobody thought of, is told to a client."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, NotReadyError):
        return RefusedError(str(error), status=503, code="loading_model", headers={"Retry-After": str(AGAIN_SECONDS)})
    if isinstance(error, ShardlineError):
        return RefusedError(str(error), status=500)
    log.error("A request failed (%s).", type(error).__name__)
    return RefusedError("The server failed; its log says how.", status=500)
