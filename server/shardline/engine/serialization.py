"""What the engine's contract says, as JSON: for a language server and an engine in two processes."""

from typing import Any, TypeVar

import cattrs

from shardline import errors
from shardline.engine import Chunk, Progress, Request
from shardline.errors import EngineError, ShardlineError

Record = TypeVar("Record", Request, Chunk, Progress)

_converter = cattrs.Converter(omit_if_default=True)


def write(record: Request | Chunk | Progress) -> dict[str, Any]:
    """The record as JSON has it; what is as it is by default is left out."""
    values: dict[str, Any] = _converter.unstructure(record)
    return values


def read(values: Any, kind: type[Record]) -> Record:
    """The record of this `kind` that was written so; raises `EngineError` where it was not."""
    try:
        return _converter.structure(values, kind)
    except Exception as error:
        raise EngineError(f"This is no {kind.__name__} of this version of Shardline.") from error


def write_error(error: ShardlineError) -> dict[str, str]:
    """The error's class, by its name, and its sentence."""
    return {"error": type(error).__name__, "sentence": str(error)}


def read_error(values: Any) -> ShardlineError:
    """The error that was written so; an `EngineError` where its class is not known here."""
    kind = getattr(errors, str(values.get("error")), EngineError)
    known = isinstance(kind, type) and issubclass(kind, ShardlineError)
    return (kind if known else EngineError)(str(values.get("sentence")))
