"""Framing of messages by the base protocol's headers, read strictly.

A web page can make a browser send bytes of its choosing to a port of this machine, as the body of an HTTP request.
Because an HTTP request line is no header of the language server protocol, nothing behind it is ever read.
"""

import json
import re
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from typing import Any

from shardline.errors import ProtocolError

MAX_BYTES = 1 << 27
"""The longest message: editors send documents of up to 50 MB, which JSON's escapes may double."""

_HEADER = re.compile(rb"(?:Content-Length: (?P<length>\d{1,10})|Content-Type: [!-~][ -~]{0,199})\r\n", re.IGNORECASE)
"""Only the two headers of the specification, whose names may be in any case, as HTTP has it."""


async def read_message(reader: StreamReader, max_bytes: int = MAX_BYTES) -> bytes | None:
    """Return the body of the next message, or None where the input has ended.

    Raises `ProtocolError` where something else comes: the place where the next message begins is lost then.
    Memory grows with what has come, never with what a header promises.
    """
    length = await _read_length(reader)
    if length is None:
        return None
    if length > max_bytes:
        raise ProtocolError(f"A message of {length} bytes was announced; the longest that is read has {max_bytes}.")
    try:
        return await reader.readexactly(length)
    except IncompleteReadError:
        return None  # the client is gone, in the middle of a message


def frame(message: Any) -> bytes:
    """Return a message with its header."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


async def _read_length(reader: StreamReader) -> int | None:
    """Read the headers of a message, each of which may come once; None at the end of the input."""
    lengths: list[bytes] = []
    others = 0
    while (line := await _read_line(reader)) != b"\r\n":
        if not line:
            return None
        header = _HEADER.fullmatch(line)
        if header and header["length"]:
            lengths.append(header["length"])
        else:
            others += 1
        if not header or len(lengths) > 1 or others > 1:
            raise ProtocolError("The input is not framed as the language server protocol has it.")
    if not lengths:
        raise ProtocolError("The input has a message without its Content-Length.")
    return int(lengths[0])


async def _read_line(reader: StreamReader) -> bytes:
    """Read up to a line's end; empty at the end of the input, and where no line ends within the reader's limit."""
    try:
        return await reader.readuntil(b"\r\n")
    except IncompleteReadError:
        return b""
    except LimitOverrunError as error:
        raise ProtocolError("The input has a line that is longer than any header.") from error
