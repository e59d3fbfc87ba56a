"""What is answered where a request is not: an error in the shape that OpenAI's clients read."""

import logging
from collections.abc import Mapping

from starlette.responses import JSONResponse

from shardline.errors import NotReadyError, PromptError, ShardlineError

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""What kind of error a status is; all others below 500 are `invalid_request_error`."""

AGAIN = {"Retry-After": "1"}
"""For what may be asked again soon, in seconds."""

log = logging.getLogger(__name__)


class RequestError(ShardlineError):
    """A request that is not answered: with its `status`, the field `param` that is wrong, and a `code` for programs."""

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
        """The error as it is sent, alone or in a stream."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def answer(self) -> JSONResponse:
        """The answer that says so."""
        return JSONResponse(self.as_json(), self.status, self.headers)


def refusal_of(error: Exception) -> RequestError:
    """How an error of the engine, or one that nobody thought of, is told to a client."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, NotReadyError):
        return RequestError(str(error), status=503, code="loading_model", headers=AGAIN)
    if isinstance(error, PromptError):
        return RequestError(str(error), param="prompt")
    if isinstance(error, ShardlineError):
        return RequestError(str(error), status=500)
    log.error("A request failed (%s).", type(error).__name__)
    log.debug("This is how.", exc_info=error)
    return RequestError("The server failed; with log.level at debug, its log says how.", status=500)
