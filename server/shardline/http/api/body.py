"""JSON bodies: fields declared once with types and limits."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from starlette.requests import Request

from shardline.errors import BadValueError
from shardline.http.error_responses import RequestError
from shardline.http.middleware.body_limits import Bodies
from shardline.http.middleware.json_parser import Parser
from shardline.values import check

T = TypeVar("T")


def field(default: Any, **limits: float) -> Any:
    """Declare a field with its default, and its `minimum` and `maximum` if any."""
    return dataclasses.field(default=default, metadata={"limits": limits})


async def body_of(request: Request) -> Mapping[str, Any]:
    """Return the JSON object that is sent; raises `RequestError`."""
    bodies: Bodies = request.app.state.bodies
    parser: Parser = request.app.state.parser
    async with bodies.read(request) as content:
        body = await parser.parse(content)
    if not isinstance(body, dict):
        raise RequestError("The body of the request must be a JSON object.")
    return body


def read(kind: type[T], body: Mapping[str, Any]) -> T:
    """Return `body` as the dataclass `kind`, with null as the default; raises `RequestError` with the field's name.

    A field of type Any is not checked, and unknown fields are ignored.
    """
    values: dict[str, Any] = {}
    types = typing.get_type_hints(kind)
    for declared in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = body.get(declared.name)
        if value is None:
            continue
        try:
            wanted = types[declared.name]
            values[declared.name] = value if wanted is Any else check(value, wanted, declared.metadata["limits"])
        except BadValueError as error:
            raise RequestError(f"{declared.name} must be {error}.", param=declared.name) from None
    return kind(**values)


def refuse_unknown(kind: type, body: Mapping[str, Any]) -> None:
    """Raise `RequestError`, in OpenAI's words, if `body` has a field that `kind` lacks."""
    if unknown := sorted(body.keys() - {declared.name for declared in dataclasses.fields(kind)}):
        plural = "s" if len(unknown) > 1 else ""
        raise RequestError(f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")


def texts(value: Any, name: str, *, max_texts: int) -> tuple[str, ...]:
    """Return one text or up to `max_texts`, none of them empty; null is none. Raises `RequestError`."""
    several = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(several, list) or len(several) > max_texts or not all(isinstance(t, str) and t for t in several):
        raise RequestError(f"{name} must be a text or a list of up to {max_texts}, none of them empty.", param=name)
    return tuple(several)
