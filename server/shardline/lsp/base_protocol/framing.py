"""Framing of messages by the base protocol's headers.

Headers are read strictly. A web page can make a browser send an HTTP request with any body to a local port. Its
request line is no valid header, so nothing behind it is ever read.
"""

import json
import re
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from typing import Any

from shardline.errors import ProtocolError

MAX_BYTES = 1 << 27
"""The longest message: editors send documents of up to 50 MB, which JSON's escapes may double."""

_HEADER = re.compile(rb"(?:Content-Length: (?P<length>\d{1,10})|Content-Type: [!-~][ -~]{0,199})\r\n", re.IGNORECASE)
"""The two headers of the specification, with names in any case, as in HTTP."""


async def read_message(reader: StreamReader, max_bytes: int = MAX_BYTES) -> bytes | None:
    """Return the body of the next message, or None at the end of the input.

    Raises `ProtocolError` for any other input: the start of the next message is unknown then. Memory grows with the
    bytes received, never with the length that a header announces.
    """
    length = await _read_length(reader)
    if length is None:
        return None
    if length > max_bytes:
        raise ProtocolError(f"A message of {length} bytes was announced; the limit is {max_bytes}.")
    try:
        return await reader.readexactly(length)
    except IncompleteReadError:
        return None  # the client left in the middle of a message


def frame(message: Any) -> bytes:
    """Return `message` as JSON with its header."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


async def _read_length(reader: StreamReader) -> int | None:
    """Return the length in a message's headers, each allowed once; None at the end of the input."""
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
            raise ProtocolError("The input is not framed by the language server protocol.")
    if not lengths:
        raise ProtocolError("The input has a message without Content-Length.")
    return int(lengths[0])


async def _read_line(reader: StreamReader) -> bytes:
    """Return the next line, empty at the end of the input; raises `ProtocolError` beyond the reader's limit."""
    try:
        return await reader.readuntil(b"\r\n")
    except IncompleteReadError:
        return b""
    except LimitOverrunError as error:
        raise ProtocolError("The input has a line that is longer than any header.") from error
