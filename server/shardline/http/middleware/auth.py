"""Who may ask: whoever knows the key, from a program, or from a page that this server gave out itself."""

import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from shardline.http.error_responses import RequestError

OPEN = frozenset({"/health", "/v1/health", "/", "/page.css", "/page.js"})
"""What needs no key: whether the model is loaded, and the page, which asks for the key itself."""


class Guard:
    """Lets requests through to `app` that bring `key`, and were meant for this server: for an address, not for a name.

    A page of somebody else's can have its own name lead here, but not an address; so a name counts only if it is the
    machine's own, `localhost` or `host`. What a page of another origin asks is refused, whatever it brings.
    """

    def __init__(self, app: ASGIApp, *, key: str, host: str) -> None:
        self._app = app
        self._key = key.encode()
        self._names = {"localhost", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a refusal, or let `app` answer."""
        if scope["type"] == "http" and (refusal := self._objection(scope)):
            await refusal.answer()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _objection(self, scope: Scope) -> RequestError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_own(host):
            return RequestError("Host must be the address of this server, or the name given with --host.", status=403)
        if any(origin != f"{scope['scheme']}://{host}" for origin in headers.getlist("origin")):
            return RequestError("Pages of other origins may not ask this server.", status=403)
        if scope["path"] not in OPEN and not self._is_known(headers.get("authorization", "")):
            return RequestError(
                "Send the key of this server as `Authorization: Bearer KEY`; shardline serve tells where it is.",
                status=401,
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return None

    def _is_own(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not (colon and port.isdecimal()):
            name = host
        if name.lower() in self._names:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True

    def _is_known(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        return hmac.compare_digest(given.strip().encode(), self._key) and scheme.lower() == "bearer"
