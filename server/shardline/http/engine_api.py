"""Private HTTP API with the whole engine contract, for language servers.

A client is connected while its request for `/engine/clients/NAME` is open; its answer has a line for each change and
every few seconds. Documents belong to their client and are forgotten when it disconnects.
"""

import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from shardline import __version__
from shardline.engine import Progress, Request, serialization
from shardline.errors import NotReadyError, ShardlineError
from shardline.http.api.body import body_of
from shardline.http.app import Service

STOPPED = "The engine was stopped by `shardline engines stop`; the command shardline.restart starts another."

T = TypeVar("T")

Answer = Callable[[str, Any], Awaitable[None]]
"""Handles the JSON that the client of this name has sent; raises `ShardlineError`."""


def routes(service: Service, *, stays: bool = False) -> list[BaseRoute]:
    """Return the routes to the engine of `service`, which ends after its last client unless it `stays`."""
    private = Private(service, stays=stays)
    client = "/engine/clients/{client}"
    return [
        Route("/engine/state", private.state),
        Route("/engine/stop", private.stop, methods=["POST"]),
        Route(client, private.follow),
        Route(client, private.leave, methods=["DELETE"]),
        Route(f"{client}/complete", private.complete, methods=["POST"]),
        *(
            Route(f"{client}/{answer.__name__}", _as_endpoint(answer), methods=["POST"])
            for answer in (private.warm, private.forget)
        ),
    ]


class Private:
    """The connected clients with their documents, and the handlers of their requests."""

    def __init__(self, service: Service, *, stays: bool) -> None:
        self._stays = stays
        self._engine = service.engine
        self._loading = service.loading
        self._end = service.end
        self._release = service.release
        self._documents: dict[str, set[str]] = {}  # of each connected client
        self._was_used = False

    async def state(self, _: HTTPRequest) -> Response:
        """Return the state of the engine and the number of clients."""
        return JSONResponse({**self._state(), "clients": len(self._documents), "pid": os.getpid()})

    async def stop(self, request: HTTPRequest) -> Response:
        """End the engine; if the client says `unused`, only once all clients have left an engine that may end."""
        unused = (await body_of(request)).get("unused")
        stops = not unused or (self._was_used and not self._documents and not self._stays)
        if stops:
            self._loading.end(NotReadyError(STOPPED))
            self._end()
        return JSONResponse({"stops": stops})

    async def follow(self, request: HTTPRequest) -> Response:
        """Connect a client: stream the state now and at each change."""
        return Lines(self._states(request.path_params["client"]), dict)

    async def leave(self, request: HTTPRequest) -> Response:
        """Disconnect a client; after the answer the engine counts as unused by it."""
        self._was_used = True  # even if it left before it was connected
        self._forget_client(request.path_params["client"])
        return JSONResponse({})

    async def complete(self, request: HTTPRequest) -> Response:
        """Stream chunks, a line each; the last one has a finish reason or is an error."""
        own = self._own(request.path_params["client"], (await body_of(request))["request"])
        return Lines(self._engine.complete(own), serialization.write)

    async def warm(self, client: str, asked: Any) -> None:
        """Prefill a prompt ahead."""
        await self._engine.warm(self._own(client, asked["request"]))

    async def forget(self, client: str, asked: Any) -> None:
        """Free the KV cache of a document."""
        self._documents.get(client, set()).discard(asked["document"])
        self._engine.forget(_full_name(client, asked["document"]))

    def _state(self, progress: Progress | None = None) -> dict[str, Any]:
        """Return the state of the engine, or the one with this progress."""
        loading, engine = self._loading, self._engine
        if progress:
            return {"version": __version__, "ready": False, "progress": serialization.write(progress)}
        state: dict[str, Any] = {"version": __version__, "ready": loading.ready}
        if loading.error:
            return {**state, **serialization.write_error(loading.error)}
        if not loading.ready:
            return state
        return {**state, "infills": engine.infills, "placement": engine.placement and engine.placement.as_json()}

    async def _states(self, client: str) -> AsyncGenerator[Any, None]:
        self._was_used = True
        self._documents[client] = set()
        try:
            async for progress in self._loading.follow():
                yield self._state(progress)
        finally:
            self._forget_client(client)

    def _forget_client(self, client: str) -> None:
        for document in self._documents.pop(client, set()):
            self._engine.forget(_full_name(client, document))
        if not (self._documents or self._stays):
            self._release()  # no client waits for it

    def _own(self, client: str, values: Mapping[str, Any]) -> Request:
        """Return the request with the client's name in its document's."""
        document = str(values["document"])
        if document and client in self._documents:
            self._documents[client].add(document)
        return serialization.read({**values, "document": _full_name(client, document)}, Request)


class Lines(Response, Generic[T]):
    """A response that sends each of `values` as a line of JSON, and a `ShardlineError` as the last one."""

    def __init__(self, values: AsyncGenerator[T, None], as_json: Callable[[T], Any]) -> None:
        super().__init__(media_type="application/x-ndjson")
        del self.headers["content-length"]
        self._values = values
        self._as_json = as_json

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as in ASGI
        """Send the lines; closes `values` as soon as the client leaves."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._values) as values:
            try:
                async for value in values:
                    await send(_line(self._as_json(value)))
            except ShardlineError as error:
                await send(_line(serialization.write_error(error)))
        await send({"type": "http.response.body", "body": b""})


def _line(value: Any) -> Message:
    return {"type": "http.response.body", "body": json.dumps(value).encode() + b"\n", "more_body": True}


def _as_endpoint(answer: Answer) -> Callable[[HTTPRequest], Awaitable[Response]]:
    async def respond(request: HTTPRequest) -> Response:
        try:
            await answer(request.path_params["client"], await body_of(request))
            return JSONResponse({})
        except ShardlineError as error:
            return JSONResponse(serialization.write_error(error))

    return respond


def _full_name(client: str, document: str) -> str:
    return f"{client} {document}" if document else ""
