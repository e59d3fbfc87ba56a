"""ASGI application of one engine with all its APIs."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from shardline.engine import Engine
from shardline.errors import ShardlineError
from shardline.http.admission import Admission
from shardline.http.admitted_engine import AdmittedEngine
from shardline.http.api import dashboard, llama_cpp, llama_properties, mistral, openai
from shardline.http.load_state import Loading
from shardline.http.metrics import Metrics
from shardline.http.middleware.auth import Guard
from shardline.http.middleware.body_limits import Bodies
from shardline.http.middleware.client_disconnect import EndWithClient
from shardline.http.middleware.idle import CountPresence, Presence
from shardline.http.middleware.json_parser import Parser
from shardline.http.middleware.outcome import Outcome
from shardline.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Access:
    """The API key, the host name that clients may use, and the seconds without clients after which to end."""

    key: str
    host: str = "127.0.0.1"
    idle: float | None = None


@dataclass(frozen=True, kw_only=True)
class Service:
    """The engine, its loading state, and `end`, which ends the process.

    `release` lets the idle time begin while the engine still loads, as no client waits for it any more.
    """

    engine: AdmittedEngine
    loading: Loading
    end: Callable[[], None]
    release: Callable[[], None]


Routes = Callable[[Service], Sequence[BaseRoute]]
"""Makes further routes for an engine."""


def make_app(
    engine: Engine,
    settings: Settings,
    access: Access,
    *,
    routes: Routes = lambda _: (),
    on_end: Callable[[ShardlineError | None], None],
) -> ASGIApp:
    """Return the application that serves `engine`, made for these settings, by the public APIs and `routes`.

    It loads the engine when it starts. It calls `on_end` when it should end: with an error if the model cannot be
    loaded, with None after the idle time of `access`.
    """
    loading, admission = Loading(engine), Admission()
    metrics = Metrics(admission)
    presence = Presence(access.idle, lambda: on_end(None))
    served = AdmittedEngine(engine, loading, admission, metrics)
    loads = ExitStack()  # a loading engine counts as used
    service = Service(engine=served, loading=loading, end=lambda: on_end(None), release=loads.close)
    parser = Parser()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async def load() -> None:
            with loads:
                loads.enter_context(presence.visit())
                try:
                    await loading.run()
                    gc.freeze()  # a collection over the loaded model would block the event loop for 0.1 s
                except ShardlineError as error:
                    on_end(error)

        task = asyncio.ensure_future(load())
        yield
        task.cancel()
        parser.close()
        engine.close()

    async def health(_: Request) -> Response:
        return JSONResponse(loading.as_json(), 200 if loading.ready else 503)

    async def count(_: Request) -> Response:
        return metrics.answer()

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/health", health),
            Route("/metrics", count),
            *openai.routes(served, settings.model),
            *mistral.routes(served, settings),
            *llama_cpp.routes(served, settings),
            *llama_properties.routes(settings.model, admission),
            *dashboard.routes(engine, settings.model.name, loading, admission, metrics.history),
            *routes(service),
        ],
        lifespan=lifespan,
    )
    app.state.bodies, app.state.parser = Bodies(admission), parser
    # Starlette's own stack adds two wrappers of `send`, and lets uvicorn close the connection after an error.
    counted = CountPresence(EndWithClient(app.router), presence=presence)
    app.middleware_stack = Guard(counted, key=access.key, host=access.host)
    return Outcome(app, metrics=metrics)
