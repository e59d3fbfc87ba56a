"""An answer that comes in pieces: server-sent events."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.responses import StreamingResponse

from shardline.http.error_responses import refusal_of

DONE = "[DONE]"
"""What ends a stream of OpenAI's."""


async def answer(events: AsyncGenerator[Any, None]) -> StreamingResponse:
    """Send what `events` yields, as JSON but for a text; what fails before the first is raised, and sent after it."""
    first = await anext(events)

    async def pieces() -> AsyncGenerator[str, None]:
        async with aclosing(events):
            yield _event(first)
            try:
                async for event in events:
                    yield _event(event)
            except Exception as error:  # noqa: BLE001  the status is sent already
                yield _event(refusal_of(error).as_json())

    return StreamingResponse(pieces(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _event(value: Any) -> str:
    return f"data: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}\n\n"
