"""Authentication by API key, and protection against foreign web pages."""

import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from shardline.http.error_responses import RequestError

OPEN = frozenset({"/health", "/v1/health", "/", "/page.css", "/page.js"})
"""Paths that need no key: health, and the page, which asks the user for the key."""


class Guard:
    """Passes requests to `app` that have `key`, and whose Host is an IP address, `localhost` or `host`.

    Other names are refused, as a foreign page can let its own name resolve to this machine (DNS rebinding). Requests
    from pages of other origins are refused even with the key.
    """

    def __init__(self, app: ASGIApp, *, key: str, host: str) -> None:
        self._app = app
        self._key = key.encode()
        self._names = {"localhost", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or let `app` answer."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            await refusal.answer()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_own(host):
            return RequestError("Host must be the address of this server, or the name given with --host.", status=403)
        if any(origin != f"{scope['scheme']}://{host}" for origin in headers.getlist("origin")):
            return RequestError("Pages of other origins may not use this server.", status=403)
        if scope["path"] not in OPEN and not self._is_known(headers.get("authorization", "")):
            return RequestError(
                "Send the key of this server as `Authorization: Bearer KEY`; shardline serve prints where it is.",
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
