"""Windows that share an engine."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from shardline.engine.shared import registry
from shardline.engine.shared.registry import Entry
from tests.lsp.clients import Client, started

COMMAND = [sys.executable, "-m", "shardline"]


CODE = "def add(a, b):\n    return"


def settings(folder: Path, *, idle: float = 300, tokens: int = 8, **model: Any) -> dict[str, Any]:
    options = {"name": str(folder), "contextTokens": 512, **model}
    return {"model": options, "engine": {"idle": idle}, "generation": {"maxTokens": tokens}}


@asynccontextmanager
async def window(folder: Path, **options: Any) -> AsyncIterator[Client]:
    """Yield a language server whose model is ready."""
    async with started(COMMAND, **settings(folder, **options)) as client:
        assert (await client.until_settled()).state == "ready"
        yield client


async def ghost_of(client: Client) -> str:
    items = await client.ghost(CODE)
    assert items
    return str(items[0].insert_text)


def the_engine() -> Entry:
    (entry,) = registry.all_entries()
    return entry


async def shardline(*arguments: str) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await child.communicate()
    return child.returncode or 0, output.decode()
