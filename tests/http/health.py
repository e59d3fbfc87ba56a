"""Latency of /health under load: `python -m tests.http.health --clients 32 --seconds 60 --json FILE`.

Clients in a process of their own send a served model the largest bodies it takes, one after another. They leave an
answer that takes long, and do not wait where they are told to. /health is asked each 20 ms, each time by a new
connection, however long the others take.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console

from shardline.http.middleware.body_limits import MAX_BYTES
from shardline.http.middleware.json_parsing import MAX_CONTAINERS, MAX_VALUES
from tests.http.servers import GUARD_SECONDS, SERVE, Server, started

EACH_SECONDS = 0.02
ASKED_SECONDS = 0.1
"""/health is to be answered within this time, of 100 times at least 99."""

READ_SECONDS = 2.0
"""A client that has sent its body waits this long for the answer."""

CODE = Path(__file__).read_text(encoding="utf-8")
TEXTS = (CODE, "a", " ", "\n", "é", "<|im_end|>")


def fill(make: Callable[[int], bytes], size: int = MAX_BYTES) -> bytes:
    """Return what `make` makes of the largest number with which it has at most `size` bytes; it grows evenly."""
    step = len(make(2)) - len(make(1))
    return make((size - len(make(0))) // step)


def bodies(model: str) -> list[tuple[str, bytes]]:
    """Paths and bodies: code, odd texts, and as many values of each kind as a body may have."""

    def completion(prompt: Any, **more: Any) -> bytes:
        return json.dumps({"model": model, "max_tokens": 16, "prompt": prompt, **more}).encode()

    def infill(**fields: Any) -> bytes:
        return json.dumps({"n_predict": 16, "input_prefix": "", **fields}, ensure_ascii=False).encode()

    def repeated(text: str) -> bytes:
        return fill(lambda times: completion(text * times))

    several = [
        *map(repeated, (CODE, "a", " ", "\n", "é", "<|im_end|>")),
        *(fill(lambda times: completion([CODE] * times), size) for size in (1 << 16, 1 << 20)),
        completion([[5] * 2000] * 128),
        completion("a", logit_bias=[[]] * (MAX_CONTAINERS - 10)),
        completion("a", logit_bias=[1.5] * (MAX_VALUES - 10)),
        completion("a", logit_bias={str(number): 1 for number in range(MAX_CONTAINERS - 10)}),
        completion("a" * (1 << 20), echo=True),
    ]
    others = [
        fill(lambda times: infill(input_prefix=CODE * times)),
        fill(lambda times: infill(input_suffix=CODE * times)),
        fill(lambda times: infill(prompt="🎉" * times)),
        fill(lambda times: infill(input_extra=[{"text": CODE}] * times)),
    ]
    return [*(("/v1/completions", body) for body in several), *(("/infill", body) for body in others)]


async def load(url: str, key: str, model: str, *, clients: int) -> None:
    """Send bodies until this process is ended; prints what becomes of each."""
    all_bodies = bodies(model)
    headers = {"Authorization": f"Bearer {key}"}

    async def client(number: int, http: httpx.AsyncClient) -> None:
        turn = number
        while True:
            path, body = all_bodies[turn % len(all_bodies)]
            turn += 1
            try:
                outcome = str((await http.post(path, content=body)).status_code)
            except httpx.HTTPError as error:
                outcome = type(error).__name__
            print(outcome, flush=True)  # noqa: T201

    limits = httpx.Limits(max_connections=None)
    patience = httpx.Timeout(GUARD_SECONDS, read=READ_SECONDS)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=patience, limits=limits) as http:
        print("ready", flush=True)  # noqa: T201
        await asyncio.gather(*(client(number, http) for number in range(clients)))


async def ask_health(url: httpx.URL) -> float:
    """Ask once; returns the seconds from before the connection to the last byte of the answer."""
    began = time.perf_counter()
    async with asyncio.timeout(GUARD_SECONDS):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"GET /health HTTP/1.1\r\nHost: {url.host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return time.perf_counter() - began


async def measure(server: Server, clients: int, seconds: float) -> dict[str, Any]:
    """Let the clients send, and return how soon /health was answered."""
    model = (await server.http.get("/v1/models")).json()["data"][0]["id"]
    memory = psutil.Process(server.process.pid)
    quiet, most = memory.memory_info().rss, 0
    loading = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.http.health", "--load", server.url, server.key, model),
        *("--clients", str(clients)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert loading.stdout is not None
    await loading.stdout.readline()
    asking: list[asyncio.Task[float]] = []
    began = time.perf_counter()
    try:
        while (now := time.perf_counter()) < began + seconds:
            asking.append(asyncio.create_task(ask_health(httpx.URL(server.url))))
            most = max(most, memory.memory_info().rss)
            await asyncio.sleep(max(0.0, began + len(asking) * EACH_SECONDS - now))
        latencies = sorted(await asyncio.gather(*asking))
    finally:
        loading.kill()
    outcomes = Counter((await loading.communicate())[0].decode().split())
    share = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        "clients": clients,
        "seconds": seconds,
        "asked": len(latencies),
        "milliseconds": {name: 1000 * latencies[int(part * (len(latencies) - 1))] for name, part in share.items()},
        "outcomes": dict(outcomes),
        "bytes": {"before": quiet, "most": most},
    }


async def run(clients: int, seconds: float) -> dict[str, Any]:
    """Serve the default model, and measure."""
    async with started(command=SERVE) as server:
        return await measure(server, clients, seconds)


def main() -> None:
    """Read the flags, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=32, help="how many send at once")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long")
    parser.add_argument("--json", type=Path, help="a file to write all figures to")
    parser.add_argument("--load", nargs=3, metavar=("URL", "KEY", "MODEL"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.load:
        asyncio.run(load(*flags.load, clients=flags.clients))
        return
    figures = asyncio.run(run(flags.clients, flags.seconds))
    console = Console(highlight=False)
    console.print_json(json.dumps(figures))
    slow = figures["milliseconds"]["p99"] / 1000
    console.print(f"p99 {slow:.3f} s  asked {ASKED_SECONDS} s: {'yes' if slow <= ASKED_SECONDS else 'NO'}")
    if flags.json:
        flags.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
