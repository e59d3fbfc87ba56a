"""Cancellation of requests whose client has disconnected."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class EndWithClient:
    """Lets `app` read the body and answer, and cancels it when the client disconnects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        was_read, has_left = asyncio.Event(), asyncio.Event()
        unread: list[Message] = []
        if scope["method"] != "POST":  # no route reads a body then, and none is kept
            unread.append({"type": "http.request", "body": b"", "more_body": False})
            was_read.set()

        async def read() -> Message:
            if unread:
                return unread.pop()
            if was_read.is_set():
                await has_left.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            if not message.get("more_body"):
                was_read.set()
            return message

        async def leave() -> None:
            await was_read.wait()
            while (await receive())["type"] != "http.disconnect":
                pass

        answering = asyncio.ensure_future(self._app(scope, read, send))
        leaving = asyncio.ensure_future(leave())
        try:
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                await answering
        finally:
            has_left.set()
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
