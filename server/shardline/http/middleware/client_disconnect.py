"""A request that ends with its client: nothing is made for one that left."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class EndWithClient:
    """Lets `app` read the body, if there is one, and answer; cancels it as soon as the client is gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        was_read, gone = asyncio.Event(), asyncio.Event()
        unread: list[Message] = []
        if scope["method"] != "POST":  # then nobody reads a body, and none is kept
            unread.append({"type": "http.request", "body": b"", "more_body": False})
            was_read.set()

        async def read() -> Message:
            if unread:
                return unread.pop()
            if was_read.is_set():
                await gone.wait()
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
            gone.set()
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
