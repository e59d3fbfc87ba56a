"""What one sees of an engine: its figures as JSON, and a page that draws them."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shardline import __version__
from shardline.engine import Engine
from shardline.http.admission import Admission
from shardline.http.load_state import Loading
from shardline.http.recent_activity import History

PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
"""Where the files of the page are asked for; they hold nothing that is secret."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def routes(engine: Engine, model: str, loading: Loading, admission: Admission, history: History) -> list[Route]:
    """The page, and `/engine/figures`, which it reads each second."""

    async def told(_: Request) -> Response:
        return JSONResponse(
            {
                "version": __version__,
                "model": model,
                **loading.as_json(),
                "placement": dict(engine.placement),
                "running": admission.running,
                "waiting": admission.waiting,
                "history": history.as_json(),
            }
        )

    return [Route("/engine/figures", told), *(_file(path, *file) for path, file in PAGE.items())]


def _file(path: str, name: str, kind: str) -> Route:
    content = (files("shardline.http") / "page" / name).read_bytes()

    async def file(_: Request) -> Response:
        return Response(content, media_type=kind, headers=HEADERS)

    return Route(path, file)
