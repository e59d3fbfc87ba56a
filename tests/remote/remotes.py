"""Scripted peers as processes, their notes, and engines that use them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from shardline.engine import Chunk, Request
from shardline.engine.remote.engine import RemoteEngine
from shardline.settings import ModelSettings, RemoteSettings, Settings

GUARD_SECONDS = 60
KINDS = ("vllm", "llama.cpp", "sglang", "ollama", "openai")
TOKEN_KINDS = ("vllm", "llama.cpp", "sglang")
"""Those that take token ids."""


class Peer:
    """A server in a process of its own; `told` is how it behaves."""

    def __init__(self, kind: str, folder: Path, tokenizer: Path, **told: Any) -> None:
        self.kind = kind
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "told.json").write_text(json.dumps({"tokenizer": str(tokenizer), **told}))
        (folder / "asked.jsonl").touch()
        self.port = 0

    async def start(self) -> None:
        """Start it, on the port that it had before if it has had one."""
        file = Path(__file__).with_name("peers.py")
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(file), self.kind, str(self.folder), str(self.port)), stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout
        async with asyncio.timeout(GUARD_SECONDS):
            self.port = int(await self.process.stdout.readline())

    async def kill(self) -> None:
        """End it as by kill -9."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[dict[str, Any]]:
        """All requests that it has had."""
        return [json.loads(line) for line in (self.folder / "asked.jsonl").read_text().splitlines()]

    def bodies(self, *paths: str) -> list[dict[str, Any]]:
        """Return what it was asked at these paths, or to complete."""
        asked = paths or ("/v1/completions", "/completion", "/infill", "/api/generate")
        probe = {"input_prefix": "a", "input_suffix": "b", "n_predict": 1}
        return [e["body"] for e in self.asked if e["path"] in asked and not probe.items() <= e["body"].items()]

    async def until(self, word: str) -> None:
        """Wait until it says this."""
        assert self.process.stdout
        async with asyncio.timeout(GUARD_SECONDS):
            assert (await self.process.stdout.readline()).decode() == f"{word}\n"


@asynccontextmanager
async def serving(kind: str, folder: Path, model: Path, **told: Any) -> AsyncIterator[Peer]:
    """Yield a peer with the tokenizer of the model in this folder."""
    peer = Peer(kind, folder / "peer", model / "tokenizer.json", **told)
    await peer.start()
    try:
        yield peer
    finally:
        await peer.kill()


def settings_for(url: str, folder: Path | None = None, **remote: Any) -> Settings:
    """Of the model in this folder on that server."""
    named = ModelSettings(name=str(folder) if folder else "somebody/unknown", context_tokens=256)
    return Settings(model=named, remote=RemoteSettings(base_url=url, **{"timeout": 20, **remote}))


@asynccontextmanager
async def opened(url: str, folder: Path | None = None, **remote: Any) -> AsyncIterator[RemoteEngine]:
    """Yield an engine that has asked what is there."""
    engine = RemoteEngine(settings_for(url, folder, **remote))
    try:
        await engine.load(lambda _: None)
        yield engine
    finally:
        engine.close()
        await engine.wait_closed()


async def answer(engine: Any, prefix: str, **options: Any) -> list[Chunk]:
    """All chunks that complete this."""
    async with asyncio.timeout(GUARD_SECONDS):
        return [chunk async for chunk in engine.complete(Request(document="d", prefix=prefix, **options))]


async def said(engine: Any, prefix: str, **options: Any) -> str:
    """Return the text that completes this."""
    return "".join(chunk.text for chunk in await answer(engine, prefix, **options))
