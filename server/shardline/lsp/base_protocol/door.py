"""Authentication of TCP clients by a token.

The protocol has none, so the token comes with `initialize`, in `initializationOptions`.
"""

import asyncio
import hmac
import logging
import os
import secrets
from typing import Any, NamedTuple

from lsprotocol import types

from shardline.errors import ProtocolError, SettingsError
from shardline.lsp.base_protocol.framing import frame, read_message
from shardline.lsp.base_protocol.jsonrpc import parse

VARIABLE = "SHARDLINE_TOKEN"
"""The environment variable with the token."""

MIN_CHARACTERS = 16

MAX_PENDING = 16
"""Clients that may await authentication at once; the oldest makes room for the next."""

REFUSAL = {
    "code": types.LSPErrorCodes.RequestFailed.value,
    "message": f"Shardline requires a token: put the one that it printed at its start, or that {VARIABLE} has, "
    f"into `initializationOptions` as `token`.",
    "data": {"retry": False},
}
"""The answer to `initialize` without the token."""

GREETING_SECONDS = 10.0
"""The time for a client to send `initialize`."""

GREETING_BYTES = 1 << 20
"""The longest `initialize` read before its sender is authenticated."""

log = logging.getLogger(__name__)


class Admitted(NamedTuple):
    """The connection of the authenticated client, and its `initialize` without the token."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: Any


class Door:
    """A gate that admits the first client to send `initialize` with the token, and no other."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._pending: dict[asyncio.StreamWriter, None] = {}  # oldest first
        self.admitted: asyncio.Future[Admitted] = asyncio.get_running_loop().create_future()

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Admit a client, or answer with the reason and close its connection."""
        if len(self._pending) == MAX_PENDING:
            self._turn_away(next(iter(self._pending)))
        self._pending[writer] = None
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                greeting = await self._greeting(reader, writer)
        except (ProtocolError, TimeoutError, ConnectionError) as error:
            log.warning("A client was turned away. %s", str(error) or "It sent no `initialize`.")
        else:
            if greeting and not self.admitted.done():
                del self._pending[writer]
                self.admitted.set_result(Admitted(reader, writer, greeting))
        finally:
            if writer in self._pending:
                self._turn_away(writer)

    def close(self) -> None:
        """Close all pending connections."""
        for writer in list(self._pending):
            self._turn_away(writer)

    def _turn_away(self, writer: asyncio.StreamWriter) -> None:
        del self._pending[writer]
        writer.close()

    async def _greeting(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        """Return `initialize` without the token, or None if the client left; raises `ProtocolError`."""
        body = await read_message(reader, GREETING_BYTES)
        if body is None:
            return None
        match message := parse(body):
            case {"jsonrpc": "2.0", "method": types.INITIALIZE, "id": str() | int() as number}:
                if self._takes_token(message):
                    return message
                writer.write(frame({"jsonrpc": "2.0", "id": number, "error": REFUSAL}))
                await writer.drain()
                raise ProtocolError("It did not send the token.")
        raise ProtocolError("Its first message was not `initialize`.")

    def _takes_token(self, message: Any) -> bool:
        """Return whether `initialize` has the right token, and remove it: it must not reach log or settings."""
        match message:
            case {"params": {"initializationOptions": {"token": str(token), **others}} as params}:
                params["initializationOptions"] = others
                return hmac.compare_digest(token.encode(), self._token)
        return False


def read_or_make_token() -> tuple[str, str]:
    """Return the token of the environment or a new one, and a phrase that says where the user finds it.

    Removes it from the environment: no child inherits it, and no setting can send it to a server. Raises
    `SettingsError`.
    """
    token = os.environ.pop(VARIABLE, None)
    if token is None:
        token = secrets.token_urlsafe(32)
        return token, f"token {token}"
    if len(token) < MIN_CHARACTERS:
        raise SettingsError(f"{VARIABLE} must have at least {MIN_CHARACTERS} characters.")
    return token, f"token in {VARIABLE}"
