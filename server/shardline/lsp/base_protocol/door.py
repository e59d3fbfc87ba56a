"""Token check of a listening server: one client, no other.

The protocol has no authentication, so the token comes with `initialize`, in `initializationOptions`.
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
"""The environment variable that has the token, if it is set."""

MIN_CHARACTERS = 16

MAX_STRANGERS = 16
"""How many may be at the door at once; the oldest makes room for the next."""

REFUSAL = {
    "code": types.LSPErrorCodes.RequestFailed.value,
    "message": f"Shardline asks for a token: put the one that it printed when it started, or that {VARIABLE} has, "
    f"into `initializationOptions` as `token`.",
    "data": {"retry": False},
}
"""The answer to `initialize` without the token."""

GREETING_SECONDS = 10.0
"""How long a client may take to send `initialize`."""

GREETING_BYTES = 1 << 20
"""The longest `initialize` that is read before its sender is known."""

log = logging.getLogger(__name__)


class Admitted(NamedTuple):
    """The connection of the client that knew the token, and its `initialize` without it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: Any


class Door:
    """Reads one message of each that connects; `admitted` is the first that sends `initialize` with the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._strangers: dict[asyncio.StreamWriter, None] = {}  # in the order in which they came
        self.admitted: asyncio.Future[Admitted] = asyncio.get_running_loop().create_future()

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Admit a client, or answer what is missing and close its connection."""
        if len(self._strangers) == MAX_STRANGERS:
            self._turn_away(next(iter(self._strangers)))
        self._strangers[writer] = None
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                greeting = await self._greeting(reader, writer)
        except (ProtocolError, TimeoutError, ConnectionError) as error:
            log.warning("A client was turned away. %s", str(error) or "It sent no `initialize`.")
        else:
            if greeting and not self.admitted.done():
                del self._strangers[writer]
                self.admitted.set_result(Admitted(reader, writer, greeting))
        finally:
            if writer in self._strangers:
                self._turn_away(writer)

    def close(self) -> None:
        """Turn away all that are still at the door."""
        for writer in list(self._strangers):
            self._turn_away(writer)

    def _turn_away(self, writer: asyncio.StreamWriter) -> None:
        del self._strangers[writer]
        writer.close()

    async def _greeting(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        """Read `initialize`, and take the token out of it; None where the client left. Raises `ProtocolError`."""
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
        """Return whether `initialize` has the right token, which is taken out: it is neither logged nor a setting."""
        match message:
            case {"params": {"initializationOptions": {"token": str(token), **others}} as params}:
                params["initializationOptions"] = others
                return hmac.compare_digest(token.encode(), self._token)
        return False


def read_or_make_token() -> tuple[str, str]:
    """Return the token, and where a user finds it: it is the one of the environment, or made now.

    No process that is started later inherits it, and no setting can have it sent to a server. Raises `SettingsError`.
    """
    token = os.environ.pop(VARIABLE, None)
    if token is None:
        token = secrets.token_urlsafe(32)
        return token, f"token {token}"
    if len(token) < MIN_CHARACTERS:
        raise SettingsError(f"{VARIABLE} must have at least {MIN_CHARACTERS} characters.")
    return token, f"token in {VARIABLE}"
