"""llama.cpp's `/props` and `/slots`, by which clients learn what a server has."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shardline import __version__
from shardline.http.admission import RUNNING, Admission
from shardline.settings import ModelSettings


def routes(settings: ModelSettings, admission: Admission) -> list[Route]:
    """Tell of the model of these settings, and of how many requests `admission` runs."""

    async def properties(_: Request) -> Response:
        told: dict[str, Any] = {
            "default_generation_settings": {"n_ctx": settings.context_tokens, "params": {}},
            "total_slots": RUNNING,
            "model_alias": settings.name,
            "model_path": settings.name,
            "chat_template": "",
            "modalities": {"vision": False, "audio": False},
            "build_info": f"shardline {__version__}",
        }
        return JSONResponse(told)

    async def slots(_: Request) -> Response:
        running = admission.running
        return JSONResponse(
            [
                {"id": number, "n_ctx": settings.context_tokens, "is_processing": number < running}
                for number in range(RUNNING)
            ]
        )

    return [Route("/props", properties), Route("/slots", slots)]
