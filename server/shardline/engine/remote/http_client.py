"""The connection to a server elsewhere: kept, bounded, never asked twice for the same, each failure a sentence.

What a server sends is not trusted: neither how long it is nor that it is JSON.
"""

import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

import httpx
import truststore

from shardline.engine.remote.address import headers_for, is_loopback, root_of
from shardline.errors import AwayError, EngineError, GenerationError, RemoteRefusedError, SettingsError, first_line
from shardline.settings import RemoteSettings

MOST_BYTES = 2**23
"""No answer may be longer, whole or streamed."""

MOST_LINE_BYTES = 2**20
"""Nor may a line of a stream: the last one of llama.cpp says the prompt again."""

MOST_REASON_BYTES = 2**16

CONNECT_SECONDS = 10.0
KEPT_SECONDS = 4.0
"""An idle connection is closed before servers do that, uvicorn's after five seconds: a request on its way then could
have been done or not, and is not sent again."""

BUSY, AWAY = 429, (502, 503, 504)
UNKNOWN = (400, 422)
"""What a server answers that does not know a part of a request, and so has done nothing for it."""

log = logging.getLogger(__name__)

Message = Mapping[str, Any]
"""A JSON object."""


class Connection:
    """Asks the server at `root`; raises `SettingsError` where it must not be asked."""

    def __init__(self, settings: RemoteSettings) -> None:
        self.root = root_of(settings.base_url)
        self._timeout = settings.timeout
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", **headers_for(settings, self.root)},
            timeout=httpx.Timeout(settings.timeout, connect=min(CONNECT_SECONDS, settings.timeout)),
            limits=httpx.Limits(keepalive_expiry=KEPT_SECONDS),
            verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # as this machine trusts
            follow_redirects=False,  # a key and the code would go where nobody has said
            trust_env=not is_loopback(self.root),  # the proxies of this machine
        )
        self._keyed = bool(settings.api_key_env)

    async def get(self, path: str) -> Message:
        """The object at `path`; raises `EngineError`."""
        return await self._whole("GET", path, None)

    async def post(self, path: str, body: Message) -> Message:
        """The object that answers `body`; raises `EngineError`."""
        return await self._whole("POST", path, body)

    async def find(self, path: str) -> Message:
        """The object at `path`, empty where the server knows nothing of it; raises `EngineError` for all else."""
        try:
            return await self.get(path)
        except RemoteRefusedError as error:
            if error.status in (401, 403, BUSY):
                raise
            return {}
        except GenerationError:  # a page for people
            return {}

    async def events(self, path: str, body: Message) -> AsyncGenerator[Message, None]:
        """What answers `body` piece by piece, as server-sent events or lines of JSON; raises `EngineError`.

        Closing this ends the work of the server.
        """
        begun = False
        async with aclosing(self._bytes("POST", path, body)) as pieces:
            async for line in _lines(pieces):
                event = line.removeprefix(b"data:").strip()
                if not event.startswith(b"{"):
                    continue  # a comment, the name of an event, or the end
                message = _object(event)
                if error := message.get("error"):
                    log.debug("The server says: %s", error)
                    code = error.get("code") if isinstance(error, dict) else None
                    if not begun and code in UNKNOWN:  # vLLM finds out when the stream is open
                        raise RemoteRefusedError(f"The server at {self.root} refuses what it was asked ({code}).", code)
                    raise GenerationError(f"The server at {self.root} failed while completing.")
                begun = True
                yield message

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()

    async def _whole(self, method: str, path: str, body: Message | None) -> Message:
        async with aclosing(self._bytes(method, path, body)) as pieces:
            return _object(b"".join([piece async for piece in pieces]))

    async def _bytes(self, method: str, path: str, body: Message | None) -> AsyncGenerator[bytes, None]:
        """The body of an answer that says it is one, at most `MOST_BYTES` of it."""
        with self._telling():
            async with self._client.stream(method, self.root + path, json=body) as response:
                if not response.is_success:
                    raise await self._refusal(response)
                left = MOST_BYTES
                async for piece in response.aiter_raw():
                    left -= len(piece)
                    if left < 0:
                        raise GenerationError(f"The server at {self.root} answers with more than can be right.")
                    yield piece

    async def _refusal(self, response: httpx.Response) -> EngineError:
        status, said = response.status_code, b""
        async for piece in response.aiter_raw():  # to its end, or the connection could not be used again
            said += piece
            if len(said) > MOST_REASON_BYTES:
                break
        log.debug("The server answers %s: %s", status, said.decode("utf-8", "replace"))  # perhaps the prompt again
        if status in AWAY:
            return AwayError(f"The server at {self.root} cannot answer now (HTTP {status}).")
        if response.has_redirect_location:
            why = "leads elsewhere, which is not followed; set remote.baseUrl to where it leads"
        elif status in (401, 403):
            wish = "does not take the key in" if self._keyed else "wants a key; name what holds it in"
            why = f"{wish} remote.apiKeyEnv"
        elif status == BUSY:
            why = "has too much to do"
        else:
            why = "refuses what it was asked; with log.level debug its reason is in the log"
        return RemoteRefusedError(f"The server at {self.root} {why} (HTTP {status}).", status)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Raise what goes wrong inside as an `EngineError`."""
        try:
            yield
        except httpx.InvalidURL as error:
            raise SettingsError(f"remote.baseUrl: {self.root} is no address ({first_line(error)}).") from error
        except httpx.TimeoutException as error:
            raise AwayError(
                f"The server at {self.root} does not answer, after up to {self._timeout} seconds (remote.timeout)."
            ) from error
        except httpx.TransportError as error:
            raise AwayError(
                f"The server at {self.root} cannot be reached ({first_line(error)}). Start it, or change "
                "remote.baseUrl."
            ) from error


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > MOST_LINE_BYTES:
            raise GenerationError("The server's answer has a line that is longer than can be right.")
    yield rest


def _object(text: bytes) -> Message:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GenerationError("The server's answer is not JSON; does remote.baseUrl lead to a model?") from error
    if not isinstance(value, dict):
        raise GenerationError("The server's answer is not what such servers say; is remote.kind right?")
    return value
