"""The whole contract of an engine over HTTP, for the language servers of the user that it runs for.

A client is there as long as its request for `/engine/clients/NAME` is answered, with a line at each change and every
few seconds. What it asks belongs to documents of its own, which are forgotten when it has gone, whatever became of it.
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

Answer = Callable[[str, Any], Awaitable[Any]]
"""Answers a client of this name, who has sent this JSON, with other JSON; raises `ShardlineError`."""


def routes(service: Service, *, stays: bool = False) -> list[BaseRoute]:
    """The ways to ask the engine of `service`, which ends with its clients unless it `stays`, as others use it too."""
    private = Private(service, stays=stays)
    client = "/engine/clients/{client}"
    return [
        Route("/engine/state", private.state),
        Route("/engine/stop", private.stop, methods=["POST"]),
        Route(client, private.follow),
        Route(client, private.leave, methods=["DELETE"]),
        Route(f"{client}/complete", private.complete, methods=["POST"]),
        *(
            Route(f"{client}/{answer.__name__}", _answering(answer), methods=["POST"])
            for answer in (private.warm, private.forget)
        ),
    ]


class Private:
    """Answers clients, and knows which are there and what their documents are."""

    def __init__(self, service: Service, *, stays: bool) -> None:
        self._stays = stays
        self._engine = service.engine
        self._loading = service.loading
        self._end = service.end
        self._release = service.release
        self._documents: dict[str, set[str]] = {}  # of each client that is there
        self._was_used = False

    async def state(self, _: HTTPRequest) -> Response:
        """How the engine is, and how many are there."""
        return JSONResponse({**self._state(), "clients": len(self._documents), "pid": os.getpid()})

    async def stop(self, request: HTTPRequest) -> Response:
        """End the engine; where the client says `unused`, only if it may, and those who used it have all left."""
        unused = (await body_of(request)).get("unused")
        stops = not unused or (self._was_used and not self._documents and not self._stays)
        if stops:
            self._loading.end(NotReadyError(STOPPED))
            self._end()
        return JSONResponse({"stops": stops})

    async def follow(self, request: HTTPRequest) -> Response:
        """Let a client be there: a line with the state now and at each change."""
        return Lines(self._states(request.path_params["client"]), dict)

    async def leave(self, request: HTTPRequest) -> Response:
        """Let a client leave, which knows then that it has: whoever asks whether it is used is told so."""
        self._was_used = True  # also where it had no time to be there
        self._forget_client(request.path_params["client"])
        return JSONResponse({})

    async def complete(self, request: HTTPRequest) -> Response:
        """Stream chunks, a line each; the last one has a finish reason or is an error."""
        own = self._own(request.path_params["client"], (await body_of(request))["request"])
        return Lines(self._engine.complete(own), serialization.write)

    async def warm(self, client: str, asked: Any) -> None:
        """Read a prompt ahead."""
        await self._engine.warm(self._own(client, asked["request"]))

    async def forget(self, client: str, asked: Any) -> None:
        """Free what is kept for a document."""
        self._documents.get(client, set()).discard(asked["document"])
        self._engine.forget(_full_name(client, asked["document"]))

    def _state(self, progress: Progress | None = None) -> dict[str, Any]:
        """How the engine is, or was when it had come as far as that."""
        loading, engine = self._loading, self._engine
        if progress:
            return {"version": __version__, "ready": False, "progress": serialization.write(progress)}
        state: dict[str, Any] = {"version": __version__, "ready": loading.ready}
        if loading.error:
            return {**state, **serialization.write_error(loading.error)}
        return {**state, "infills": engine.infills, "placement": engine.placement} if loading.ready else state

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
            self._release()  # nobody waits for it any more

    def _own(self, client: str, values: Mapping[str, Any]) -> Request:
        """The request, for a document of this client."""
        document = str(values["document"])
        if document and client in self._documents:
            self._documents[client].add(document)
        return serialization.read({**values, "document": _full_name(client, document)}, Request)


class Lines(Response, Generic[T]):
    """Sends each of `values` as a line of JSON, and a `ShardlineError` as the last one."""

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


def _answering(answer: Answer) -> Callable[[HTTPRequest], Awaitable[Response]]:
    async def respond(request: HTTPRequest) -> Response:
        try:
            return JSONResponse({"answer": await answer(request.path_params["client"], await body_of(request))})
        except ShardlineError as error:
            return JSONResponse(serialization.write_error(error))

    return respond


def _full_name(client: str, document: str) -> str:
    return f"{client} {document}" if document else ""
