"""A request from its first byte to its last: its body is not too long, and nothing is made for a client that left."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shardline.http.refusals import RefusedError

MOST_BYTES = 8 << 20
"""A body may have this many: a document that is as long as they may be, however it is written."""


class EndWithClient:
    """Reads the whole body, lets `app` answer, and cancels it as soon as the client is gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a refusal where the body is too long, else let `app` answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > MOST_BYTES:
                refusal = RefusedError(f"The body is longer than {MOST_BYTES:,} bytes.", status=413)
                await refusal.answer()(scope, receive, send)
                return
            if not message.get("more_body"):
                break
        await self._answer(scope, bytes(body), receive, send)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.Event()

        async def replay() -> Message:
            if unread:
                return unread.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        answering = asyncio.ensure_future(self._app(scope, replay, send))
        leaving = asyncio.ensure_future(receive())  # nothing but the end can come any more
        try:
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                await answering
        finally:
            gone.set()
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
