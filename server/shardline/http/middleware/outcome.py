"""Outcomes of requests: counted responses, and error responses for exceptions."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shardline.http.error_responses import RequestError, request_error_of
from shardline.http.metrics import Metrics


class Outcome:
    """Counts the responses of `app` by route and status, and answers for it when it raises.

    It is the only one that wraps `send`: each wrapper costs time for every token.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._requests = metrics.requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer; raises its exception again if the response has started."""
        has_started = False

        async def count(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                route = scope.get("route")
                self._requests.labels(route.path if route else "", message["status"]).inc()
            await send(message)

        try:
            await self._app(scope, receive, count)
        except Exception as error:
            if has_started or scope["type"] != "http":
                raise
            await _error_of(error, scope).answer()(scope, receive, count)


def _error_of(error: Exception, scope: Scope) -> RequestError:
    if isinstance(error, HTTPException):
        sentence = f"{error.detail}: {scope['method']} {scope['path']}"
        return RequestError(sentence, status=error.status_code, headers=error.headers)
    return request_error_of(error)
