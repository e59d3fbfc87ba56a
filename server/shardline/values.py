"""JSON values checked against Python types, with errors in words."""

import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import cattrs

from shardline.errors import BadValueError


def check(value: Any, kind: Any, limits: Mapping[str, float]) -> Any:
    """Return the JSON `value` as `kind` (a type, a union or a Literal), within its `minimum` and `maximum`.

    Raises `BadValueError`. Nothing is converted but whole numbers to floats: "5" is no number.
    """
    try:
        result = _converter.structure(value, kind)
    except Exception as error:
        raise BadValueError(_in_words(kind)) from error
    if isinstance(result, int | float) and not isinstance(result, bool):
        if isinstance(result, float) and not math.isfinite(result):
            raise BadValueError(f"{_in_words(kind)} that is finite")
        low, high = limits.get("minimum"), limits.get("maximum")
        if (low is not None and result < low) or (high is not None and result > high):
            span = f"from {low} to {high}" if high is not None else f"of at least {low}"
            raise BadValueError(f"{_in_words(kind)} {span}")
    return result


def _strict(kind: type) -> typing.Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        exact = type(value) is kind or (kind is float and type(value) is int)
        if not exact:
            raise TypeError(value)
        return kind(value)

    return structure


def _structure_union(value: Any, kind: Any) -> Any:
    for member in typing.get_args(kind):
        try:
            return _converter.structure(value, member)
        except Exception:  # noqa: BLE001, S112  one of several types: the next may fit
            continue
    raise TypeError(value)


def _structure_none(value: Any, _: Any) -> None:
    if value is not None:
        raise TypeError(value)


def _structure_strings(value: Any, _: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise TypeError(value)
    return tuple(value)


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _in_words(kind: Any) -> str:
    if _is_union(kind):
        return " or ".join(dict.fromkeys(_in_words(member) for member in typing.get_args(kind)))
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(typing.get_args(kind))
    if typing.get_origin(kind) is dict:
        return "a map"
    if typing.get_origin(kind) is tuple:
        return "a list of texts that are not empty"
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}[kind]


_converter = cattrs.Converter(detailed_validation=False)
for _kind in (str, int, float, bool):
    _converter.register_structure_hook(_kind, _strict(_kind))
_converter.register_structure_hook(type(None), _structure_none)
_converter.register_structure_hook_func(_is_union, _structure_union)
_converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _structure_strings)
