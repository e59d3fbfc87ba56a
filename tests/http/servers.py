"""Server processes for tests, with clients that have their keys."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from tests.http.scripted_server import KEY

GUARD_SECONDS = 120
SCRIPTED = ("-m", "tests.http.scripted_server")
SERVE = ("-m", "shardline", "serve")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """A process that listens at `url`; `http` knows its key."""

    process: asyncio.subprocess.Process
    url: str
    key: str
    http: httpx.AsyncClient

    def openai(self, **changes: Any) -> AsyncOpenAI:
        """OpenAI's own client, which asks once."""
        return AsyncOpenAI(**{"base_url": f"{self.url}/v1", "api_key": self.key, "max_retries": 0, **changes})

    async def told(self) -> dict[str, Any]:
        """Return what a scripted engine was asked."""
        answer: dict[str, Any] = (await self.http.get("/test/told")).json()
        return answer

    async def until(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return what a scripted engine was asked, once that is so."""
        async with asyncio.timeout(GUARD_SECONDS):
            while not is_so(told := await self.told()):
                pass
        return told

    async def ended(self) -> tuple[int, str]:
        """Return the exit code of the process, once it has ended, and all that it wrote to standard error."""
        async with asyncio.timeout(GUARD_SECONDS):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


async def until_loaded(http: httpx.AsyncClient) -> None:
    """Wait until the server that this client asks has loaded its model."""
    async with asyncio.timeout(GUARD_SECONDS):
        while (await http.get("/health")).status_code != 200:  # noqa: ASYNC110  as clients do
            await asyncio.sleep(0.05)


@asynccontextmanager
async def started(
    *arguments: str, command: Sequence[str] = SCRIPTED, loaded: bool = True, **environment: str
) -> AsyncIterator[Server]:
    """Start a server and wait until it listens and, if `loaded`, has loaded its model."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        *arguments,
        stdout=pipe,
        stderr=pipe,
        cwd=ROOT,
        env={**os.environ, "SHARDLINE_API_KEY": KEY, **environment},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(GUARD_SECONDS):
            line = (await process.stdout.readline()).decode()
        assert line, (await process.communicate())[1].decode()
        url = line.split()[-1]
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=GUARD_SECONDS) as http:
            if loaded:
                await until_loaded(http)
            yield Server(process, url, KEY, http)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def certified(folder: Path) -> tuple[Path, Path]:
    """Return a certificate for this machine that only who is given it trusts, and its private key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("There is no openssl to make a certificate with.")
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    make = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*make, "-keyout", private, "-out", certificate], check=True, capture_output=True)
    return certificate, private
