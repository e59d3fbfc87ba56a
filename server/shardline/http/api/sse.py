"""Responses as server-sent events."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.responses import StreamingResponse

from shardline.http.error_responses import request_error_of

DONE = "[DONE]"
"""The end of OpenAI's streams."""


async def answer(events: AsyncGenerator[Any, None]) -> StreamingResponse:
    """Return a response that sends `events`, a text as it is and others as JSON.

    An error before the first event is raised; a later one is sent, as the status is out already.
    """
    first = await anext(events)

    async def pieces() -> AsyncGenerator[str, None]:
        async with aclosing(events):
            yield _event(first)
            try:
                async for event in events:
                    yield _event(event)
            except Exception as error:  # noqa: BLE001  sent to the client
                yield _event(request_error_of(error).as_json())

    return StreamingResponse(pieces(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _event(value: Any) -> str:
    return f"data: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}\n\n"
