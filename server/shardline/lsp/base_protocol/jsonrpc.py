"""JSON-RPC 2.0: one answer to every request.

This replaces pygls' own reading, which leaves unreadable requests and those after `shutdown` unanswered.
"""

import asyncio
import contextvars
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcMethodNotFound,
    JsonRpcParseError,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import LanguageServerProtocol, lsp_method

from shardline.errors import ProtocolError

_SURROGATE = re.compile("[\ud800-\udfff]")

log = logging.getLogger(__name__)


class MessageProtocol(LanguageServerProtocol):
    """A protocol that handles messages one by one and rejects those of another stage of the conversation."""

    exited = False
    """Whether the client has sent `exit`."""

    def __init__(self, server: Any, converter: Converter) -> None:
        super().__init__(server, converter)
        self.greeted = asyncio.Event()
        """Set when the client has sent `initialize`."""

    @property
    def ended_well(self) -> bool:
        """Whether the client requested `shutdown` before it left."""
        return self._shutdown

    def receive(self, body: bytes) -> None:
        """Parse and handle a message."""
        try:
            message = parse(body)
        except ProtocolError:
            self._refuse(None, JsonRpcParseError())
        else:
            self.take(message)

    def take(self, message: Any) -> None:
        """Handle a parsed message."""
        number = _number(message)
        match message:
            case {"jsonrpc": "2.0", "method": str(method), "id": _} if number is not None:
                self._take_request(number, method, message)
            case {"jsonrpc": "2.0", "method": str(method)} if "id" not in message:
                self._take_notification(method, message)
            case {"result": _} | {"error": _}:
                self._take_response(number, message)
            case _:
                self._refuse(number, JsonRpcInvalidRequest())

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *_: Any) -> None:  # type: ignore[override]  # no generator: nothing to wait for
        """Cancel all running requests."""
        self._shutdown = True
        for future in list(self._request_futures.values()):
            future.cancel()

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_: Any) -> None:  # type: ignore[override]  # nor here
        """Handle no more messages."""
        self.exited = True

    def handle_unreadable(self, method: str, params: Any) -> None:
        """Handle a notification whose parameters cannot be read."""

    def _take_request(self, number: str | int, method: str, message: Mapping[str, Any]) -> None:
        try:
            self._check_stage(method)
            if number in self._request_futures:
                raise JsonRpcInvalidRequest(f"There is a request with the id {number!r} already.")
            self._get_handler(method)
            if not _is_request(method):
                raise JsonRpcMethodNotFound.of(method)
            params = self._params(method, message)
        except JsonRpcException as error:
            self._refuse(number, error)
            return
        contextvars.copy_context().run(self._handle_request, number, method, params)

    def _take_notification(self, method: str, message: Mapping[str, Any]) -> None:
        greeted = self._workspace is not None and not self._shutdown
        if not (greeted or method == types.EXIT) or _is_request(method):
            return
        try:
            params = self._params(method, message)
        except JsonRpcInvalidParams:
            log.warning("The parameters of %s cannot be read.", method)
            self.handle_unreadable(method, message.get("params"))
            return
        contextvars.copy_context().run(self._handle_notification, method, params)

    def _take_response(self, number: str | int | None, message: Mapping[str, Any]) -> None:
        if number is None or number not in self._result_types:
            return  # no request of ours
        kind, future = self._result_types.pop(number), self._request_futures.pop(number)
        if future.done():
            return  # cancelled meanwhile
        try:
            if message.get("error") is not None:
                error = self._converter.structure(message["error"], types.ResponseError)
                future.set_exception(JsonRpcException.from_error(error))
            else:
                future.set_result(self._converter.structure(message, kind).result if kind else message["result"])
        except Exception as error:  # noqa: BLE001  any error must end the wait
            future.set_exception(JsonRpcInternalError(f"The answer cannot be read ({type(error).__name__})."))

    def _handle_cancel_notification(self, msg_id: Any) -> None:
        """Cancel a request of the client, but none of the server's own."""
        if isinstance(msg_id, (str, int)) and msg_id not in self._result_types:
            super()._handle_cancel_notification(msg_id)

    def _check_stage(self, method: str) -> None:
        if self._shutdown:
            raise JsonRpcInvalidRequest("The server was asked to shut down.")
        if self._workspace is None and method != types.INITIALIZE:
            raise JsonRpcServerNotInitialized("The first request must be `initialize`.")
        if self._workspace is not None and method == types.INITIALIZE:
            raise JsonRpcInvalidRequest("The server is initialized already.")

    def _params(self, method: str, message: Mapping[str, Any]) -> Any:
        kind = self.get_message_type(method)
        if kind is None:
            return message.get("params")
        try:
            return self._converter.structure(message, kind).params
        except Exception as error:
            raise JsonRpcInvalidParams(f"The parameters of {method} cannot be read.") from error

    def _refuse(self, number: str | int | None, error: JsonRpcException) -> None:
        response = {"code": error.code, "message": error.message}
        self._send_data({"jsonrpc": self.VERSION, "id": number, "error": response})

    def _send_response(self, msg_id: str | int, result: Any = None, error: types.ResponseError | None = None) -> None:
        """Answer a request without an error's traceback, which pygls would send."""
        if error:
            error.data = None
        super()._send_response(msg_id, result, error)

    def _execute_handler(
        self,
        msg_id: str | int,
        handler: Callable[..., Any],
        callback: Callable[[Any], None],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Run a handler and drop its future when done; pygls keeps those of notifications for ever."""
        super()._execute_handler(msg_id, handler, callback, args, kwargs)
        future = self._request_futures.get(msg_id)
        if future:
            future.add_done_callback(lambda _: self._request_futures.pop(msg_id, None))


def parse(body: bytes) -> Any:
    """Return the parsed JSON of a message; raises `ProtocolError`.

    Lone surrogates, valid in JSON but not in text, become U+FFFD, except in an id, which is sent back.
    """
    may_have_some = b"\\u" in body or b"\xed" in body  # escaped, or as three bytes
    try:
        message = json.loads(body)
        if may_have_some and isinstance(message, dict):
            return {key: value if key == "id" else _well_formed(value) for key, value in message.items()}
    except (ValueError, RecursionError) as error:
        raise ProtocolError("The message is no JSON.") from error
    return message


def _well_formed(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case dict():
            return {_well_formed(key): _well_formed(item) for key, item in value.items()}
        case list():
            return [_well_formed(item) for item in value]
    return value


def _number(message: Any) -> str | int | None:
    """Return the id of a message if it is valid, or None."""
    number = message.get("id") if isinstance(message, dict) else None
    return number if isinstance(number, (str, int)) and not isinstance(number, bool) else None


def _is_request(method: str) -> bool:
    """Return whether `method` is a request by the specification; unknown ones count as requests."""
    _, result, *_ = types.METHOD_TO_TYPES.get(method, (None, object))
    return result is not None
