"""Dashboard: an engine's figures as JSON, and the page that draws them."""

import mimetypes
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from shardline import __version__
from shardline.engine import Engine
from shardline.http.admission import Admission
from shardline.http.load_state import Loading
from shardline.http.recent_activity import History

PAGE = ("/", "/page.css", "/page.js")
"""Paths of the page's files, which hold no secret."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def routes(engine: Engine, model: str, loading: Loading, admission: Admission, history: History) -> list[Route]:
    """Return the routes of the page and of `/engine/figures`, which it reads each second."""

    async def figures(_: Request) -> Response:
        return JSONResponse(
            {
                "version": __version__,
                "model": model,
                **loading.as_json(),
                "placement": engine.placement.as_json() if engine.placement else {},
                "running": admission.running,
                "waiting": admission.waiting,
                "history": history.as_json(),
            }
        )

    mimetypes.add_type("text/javascript", ".js")  # Windows' registry may say text/plain
    page = _Page(packages=[("shardline.http", "page")], html=True)
    return [Route("/engine/figures", figures), *(Route(path, page, methods=["GET"]) for path in PAGE)]


class _Page(StaticFiles):
    """The files of the page with its security headers."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response
