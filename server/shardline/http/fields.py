"""The fields of a JSON body: their types and limits are declared once, and what is wrong is told by name."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from starlette.requests import Request

from shardline.http.refusals import RefusedError
from shardline.values import BadValueError, check

T = TypeVar("T")


def field(default: Any, **limits: float) -> Any:
    """Declare a field with its default, and its `minimum` and `maximum` if it has them."""
    return dataclasses.field(default=default, metadata={"limits": limits})


async def body_of(request: Request) -> Mapping[str, Any]:
    """The JSON object that was sent; raises `RefusedError`."""
    try:
        body = json.loads(await request.body(), parse_constant=_refuse_constant)
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise RefusedError("The body of the request is not valid JSON.") from None
    if not isinstance(body, dict):
        raise RefusedError("The body of the request must be a JSON object.")
    return body


def read(kind: type[T], body: Mapping[str, Any]) -> T:
    """The fields of the dataclass `kind` in `body`, where null is as good as nothing; raises `RefusedError`.

    A field of type Any is taken as it is.
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
            raise RefusedError(f"{declared.name} must be {error}.", param=declared.name) from None
    return kind(**values)


def refuse_unknown(kind: type, body: Mapping[str, Any]) -> None:
    """Raise `RefusedError`, in OpenAI's words, where `body` has a field that `kind` has not."""
    if unknown := sorted(body.keys() - {declared.name for declared in dataclasses.fields(kind)}):
        plural = "s" if len(unknown) > 1 else ""
        raise RefusedError(f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")


def texts(value: Any, name: str, *, most: int) -> tuple[str, ...]:
    """One text or up to `most`, none of them empty; null is none. Raises `RefusedError`."""
    several = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(several, list) or len(several) > most or not all(isinstance(t, str) and t for t in several):
        raise RefusedError(f"{name} must be a text or a list of up to {most}, none of them empty.", param=name)
    return tuple(several)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
