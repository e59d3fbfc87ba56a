"""JSON from strangers: however it is written, parsing stops the event loop and other threads only for a moment."""

import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from shardline.http.refusals import RequestError

THREAD = ThreadPoolExecutor(1, thread_name_prefix="shardline-json")
"""Parses long bodies, one at a time: the copies that parsing makes are there only once."""

MAX_VALUES = 1 << 19
"""Values in one body: 128 prompts of 4,096 token ids."""

MAX_CONTAINERS = 1 << 16
"""Lists, objects and names in one body, which take the parser far longer than other values."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse(content: bytearray) -> Any:
    """Return the JSON in `content`, of which all numbers are finite and all texts can be encoded.

    Raises `RequestError`. The parser stops all other threads but where it calls back for a number.
    """
    try:
        text = content.decode()
        _check_size(text)
        value = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):  # half a surrogate pair is no text
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise RequestError("The body of the request is not valid JSON.") from None
    return value


def _check_size(text: str) -> None:
    """Raise `RequestError` where there are too many values; those within texts do not count."""
    if _is_small(text):
        return
    unescaped = text.replace("\\\\", "").replace('\\"', "")
    if unescaped.count('"') > 4 * MAX_VALUES or not _is_small("".join(unescaped.split('"')[::2])):
        raise RequestError(
            f"The body of the request has more than {MAX_VALUES:,} values, or more than {MAX_CONTAINERS:,} lists, "
            "objects and names."
        )


def _is_small(text: str) -> bool:
    return text.count(",") < MAX_VALUES and text.count("[") + text.count("{") + text.count(":") < MAX_CONTAINERS


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise RequestError("A number in the body of the request has too many digits.") from None


def _number(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise RequestError(f"A number in the body of the request is too large: {literal[:32]}")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
