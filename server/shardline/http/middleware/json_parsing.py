"""Parsing of untrusted JSON; as a program, the child process of `Parser`."""

import json
import marshal
import math
import re
import signal
import sys
from typing import Any, NoReturn

MAX_VALUES = 1 << 19
"""Values in one body: 128 prompts of 4,096 token ids."""

MAX_CONTAINERS = 1 << 16
"""Lists, objects and names in one body, which cost more than other values."""

LENGTH_BYTES = 8

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BadJSONError(ValueError):
    """A refused body; `str(error)` is a sentence about it."""


def parse(content: bytes | bytearray) -> Any:
    """Return the JSON in `content`; raises `BadJSONError`, also for infinite numbers and lone surrogates."""
    try:
        text = content.decode()
        _check_size(text)
        value = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):  # a lone one cannot be encoded
            json.dumps(value, ensure_ascii=False).encode()
    except BadJSONError:
        raise
    except (ValueError, RecursionError):
        raise BadJSONError("The body of the request is not valid JSON.") from None
    return value


def _check_size(text: str) -> None:
    """Raise `BadJSONError` if there are too many values outside of strings."""
    if _is_small(text):
        return
    unescaped = text.replace("\\\\", "").replace('\\"', "")
    if unescaped.count('"') > 4 * MAX_VALUES or not _is_small("".join(unescaped.split('"')[::2])):
        raise BadJSONError(
            f"The body of the request has more than {MAX_VALUES:,} values, or more than {MAX_CONTAINERS:,} lists, "
            "objects and names."
        )


def _is_small(text: str) -> bool:
    return text.count(",") < MAX_VALUES and text.count("[") + text.count("{") + text.count(":") < MAX_CONTAINERS


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise BadJSONError("A number in the body of the request has too many digits.") from None


def _number(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise BadJSONError(f"A number in the body of the request is too large: {literal[:32]}")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _answer(content: bytes) -> tuple[str, Any]:
    try:
        return "", parse(content)
    except BadJSONError as error:
        return str(error), None


def main() -> None:
    """Parse bodies until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server gets the same signal and ends this process
    while header := sys.stdin.buffer.read(LENGTH_BYTES):
        answer = marshal.dumps(_answer(sys.stdin.buffer.read(int.from_bytes(header, "big"))))
        sys.stdout.buffer.write(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
