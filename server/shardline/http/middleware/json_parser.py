"""Parser of JSON bodies, with a child process for long ones.

Parsing holds the interpreter lock and would block all threads of this process.
"""

import asyncio
import marshal
from typing import Any

from shardline import children
from shardline.http.error_responses import RETRY, RequestError
from shardline.http.middleware.json_parsing import LENGTH_BYTES, BadJSONError, parse

SMALL_BYTES = 128 << 10
"""Up to this size JSON is parsed in this process, in a few milliseconds."""

PIECE_BYTES = 64 << 10


class Parser:
    """Parses bodies, long ones one at a time, so that their memory is needed only once."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def parse(self, content: bytearray) -> Any:
        """Return the JSON in `content`; raises `RequestError`."""
        if len(content) <= SMALL_BYTES:
            try:
                return parse(content)
            except BadJSONError as error:
                raise RequestError(str(error)) from None
        async with self._turn:
            sentence, value = await self._parse_elsewhere(content)
        if sentence:
            raise RequestError(sentence)
        return value

    def close(self) -> None:
        """Kill the child process, if there is one."""
        process, self._process = self._process, None
        if process and process.returncode is None:
            process.kill()

    async def _parse_elsewhere(self, content: bytearray) -> tuple[str, Any]:
        try:
            process = self._process
            if process is None or process.returncode is not None:
                process = await self._start()
            if process.stdin is None or process.stdout is None:
                raise BrokenPipeError
            process.stdin.write(len(content).to_bytes(LENGTH_BYTES, "big"))
            for begin in range(0, len(content), PIECE_BYTES):
                process.stdin.write(content[begin : begin + PIECE_BYTES])
                await process.stdin.drain()
            length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
            answer: tuple[str, Any] = marshal.loads(await process.stdout.readexactly(length))  # noqa: S302  written by our own child
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            message = "The body of the request could not be parsed; send it again in a moment."
            raise RequestError(message, status=503, headers=RETRY) from None
        except BaseException:
            self.close()  # else the next body would get this answer
            raise
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *children.module("shardline.http.middleware.json_parsing"),
            stdin=pipe,
            stdout=pipe,
            **children.surroundings(),
        )
        return self._process
