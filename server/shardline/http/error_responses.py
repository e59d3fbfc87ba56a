"""Error responses in OpenAI's format."""

import logging
from collections.abc import Mapping

from starlette.responses import JSONResponse

from shardline.errors import NotReadyError, PromptError, ShardlineError

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""Error types by status; other statuses below 500 are `invalid_request_error`."""

RETRY = {"Retry-After": "1"}
"""Headers for a request that may be sent again, in seconds."""

log = logging.getLogger(__name__)


class RequestError(ShardlineError):
    """A refused request: its `status`, the wrong field `param`, and a `code` for programs."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = headers

    def as_json(self) -> dict[str, dict[str, str | None]]:
        """Return the error as it is sent, alone or in a stream."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def answer(self) -> JSONResponse:
        """Return the error response."""
        return JSONResponse(self.as_json(), self.status, self.headers)


def request_error_of(error: Exception) -> RequestError:
    """Return the error to send for an engine's error or an unexpected one."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, NotReadyError):
        return RequestError(str(error), status=503, code="loading_model", headers=RETRY)
    if isinstance(error, PromptError):
        return RequestError(str(error), param="prompt")
    if isinstance(error, ShardlineError):
        return RequestError(str(error), status=500)
    log.error("A request failed (%s).", type(error).__name__)
    log.debug("Its traceback:", exc_info=error)
    return RequestError("The server failed; with log.level at debug, its log has the traceback.", status=500)
