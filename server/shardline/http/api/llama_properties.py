"""llama.cpp's `/props` and `/slots`, which describe the server."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shardline import __version__
from shardline.http.admission import MAX_RUNNING, Admission
from shardline.settings import ModelSettings


def routes(settings: ModelSettings, admission: Admission) -> list[Route]:
    """Return the routes that describe the model and how many requests run."""

    async def properties(_: Request) -> Response:
        values: dict[str, Any] = {
            "default_generation_settings": {"n_ctx": settings.context_tokens, "params": {}},
            "total_slots": MAX_RUNNING,
            "model_alias": settings.name,
            "model_path": settings.name,
            "chat_template": "",
            "modalities": {"vision": False, "audio": False},
            "build_info": f"shardline {__version__}",
        }
        return JSONResponse(values)

    async def slots(_: Request) -> Response:
        running = admission.running
        return JSONResponse(
            [
                {"id": index, "n_ctx": settings.context_tokens, "is_processing": index < running}
                for index in range(MAX_RUNNING)
            ]
        )

    return [Route("/props", properties), Route("/slots", slots)]
