"""HTTP client for remote servers: bounded, without retries, failures as `EngineError`.

Neither the length nor the JSON of an answer is trusted.
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

MAX_BYTES = 2**23
"""Limit on an answer, whole or streamed."""

MAX_LINE_BYTES = 2**20
"""Limit on a line of a stream; llama.cpp's last one repeats the prompt."""

MAX_REASON_BYTES = 2**16

CONNECT_SECONDS = 10.0
KEPT_SECONDS = 4.0
"""Idle connections close before the server closes them (uvicorn: 5 s): a request lost then is not sent again."""

BUSY, AWAY = 429, (502, 503, 504)
UNKNOWN = (400, 422)
"""HTTP statuses of a server that does not know a field of the request, and so has done no work for it."""

log = logging.getLogger(__name__)

Message = Mapping[str, Any]
"""A JSON object."""


class Connection:
    """Connections to the server at `root`; raises `SettingsError` if the address or the key cannot be used."""

    def __init__(self, settings: RemoteSettings) -> None:
        self.root = root_of(settings.base_url)
        self._timeout = settings.timeout
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", **headers_for(settings, self.root)},
            timeout=httpx.Timeout(settings.timeout, connect=min(CONNECT_SECONDS, settings.timeout)),
            limits=httpx.Limits(keepalive_expiry=KEPT_SECONDS),
            verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # the system's certificates
            follow_redirects=False,  # they would send the key and the code elsewhere
            trust_env=not is_loopback(self.root),  # the environment's proxies
        )
        self._keyed = bool(settings.api_key_env)

    async def get(self, path: str) -> Message:
        """Return the object at `path`; raises `EngineError`."""
        return await self._whole("GET", path, None)

    async def post(self, path: str, body: Message) -> Message:
        """Post `body` and return the answer; raises `EngineError`."""
        return await self._whole("POST", path, body)

    async def find(self, path: str) -> Message:
        """Return the object at `path`, empty if there is none; raises `EngineError` for other failures."""
        try:
            return await self.get(path)
        except RemoteRefusedError as error:
            if error.status in (401, 403, BUSY):
                raise
            return {}
        except GenerationError:  # an HTML page
            return {}

    async def events(self, path: str, body: Message) -> AsyncGenerator[Message, None]:
        """Stream the answer to `body`, sent as server-sent events or lines of JSON; raises `EngineError`.

        Closing the stream ends the server's work.
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
                    if not begun and code in UNKNOWN:  # vLLM checks after it has opened the stream
                        raise RemoteRefusedError(f"The server at {self.root} refuses the request ({code}).", code)
                    raise GenerationError(f"The server at {self.root} failed while completing.")
                begun = True
                yield message

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _whole(self, method: str, path: str, body: Message | None) -> Message:
        async with aclosing(self._bytes(method, path, body)) as pieces:
            return _object(b"".join([piece async for piece in pieces]))

    async def _bytes(self, method: str, path: str, body: Message | None) -> AsyncGenerator[bytes, None]:
        """Stream the body of a successful answer, up to `MAX_BYTES`."""
        with self._as_engine_errors():
            async with self._client.stream(method, self.root + path, json=body) as response:
                if not response.is_success:
                    raise await self._refusal(response)
                left = MAX_BYTES
                async for piece in response.aiter_raw():
                    left -= len(piece)
                    if left < 0:
                        raise GenerationError(f"The server at {self.root} answers with more than {MAX_BYTES:,} bytes.")
                    yield piece

    async def _refusal(self, response: httpx.Response) -> EngineError:
        status, reason = response.status_code, b""
        async for piece in response.aiter_raw():  # to its end, so that the connection can be reused
            reason += piece
            if len(reason) > MAX_REASON_BYTES:
                break
        log.debug("The server answers %s: %s", status, reason.decode("utf-8", "replace"))  # may repeat the prompt
        if status in AWAY:
            return AwayError(f"The server at {self.root} cannot answer now (HTTP {status}).")
        if response.has_redirect_location:
            why = "redirects, which is not followed; set remote.baseUrl to the target"
        elif status in (401, 403):
            problem = "does not accept the key in" if self._keyed else "wants a key; name its environment variable in"
            why = f"{problem} remote.apiKeyEnv"
        elif status == BUSY:
            why = "is overloaded"
        else:
            why = "refuses the request; with log.level debug its reason is in the log"
        return RemoteRefusedError(f"The server at {self.root} {why} (HTTP {status}).", status)

    @contextmanager
    def _as_engine_errors(self) -> Iterator[None]:
        """Raise httpx's exceptions as `EngineError`."""
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
        if len(rest) > MAX_LINE_BYTES:
            raise GenerationError(f"The server's answer has a line of more than {MAX_LINE_BYTES:,} bytes.")
    yield rest


def _object(text: bytes) -> Message:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GenerationError("The server's answer is not JSON; does remote.baseUrl lead to a model?") from error
    if not isinstance(value, dict):
        raise GenerationError("The server's answer is not a JSON object; is remote.kind right?")
    return value
