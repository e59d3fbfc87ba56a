"""The contract's records as JSON, between two processes."""

from typing import Any, TypeVar

import cattrs

from shardline import errors
from shardline.engine import Chunk, Progress, Request
from shardline.errors import EngineError, ShardlineError

Record = TypeVar("Record", Request, Chunk, Progress)

_converter = cattrs.Converter(omit_if_default=True)


def write(record: Request | Chunk | Progress) -> dict[str, Any]:
    """Return the record as JSON; defaults are left out."""
    values: dict[str, Any] = _converter.unstructure(record)
    return values


def read(values: Any, kind: type[Record]) -> Record:
    """Return the record of this `kind`; raises `EngineError` where `values` are none."""
    try:
        return _converter.structure(values, kind)
    except Exception as error:
        raise EngineError(f"This is no {kind.__name__} of this version of Shardline.") from error


def write_error(error: ShardlineError) -> dict[str, str]:
    """Return the name of the error's class, and its sentence."""
    return {"error": type(error).__name__, "sentence": str(error)}


def read_error(values: Any) -> ShardlineError:
    """Return the error that was written; an `EngineError` where its class is unknown here."""
    kind = getattr(errors, str(values.get("error")), EngineError)
    known = isinstance(kind, type) and issubclass(kind, ShardlineError)
    return (kind if known else EngineError)(str(values.get("sentence")))
