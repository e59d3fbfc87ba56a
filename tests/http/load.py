"""Load test with many clients: `python -m tests.http.load --clients 64 --seconds 120 --json FILE`.

Each asks a served engine for one completion after another, as it would from a document of its own, and comes again when
it is told to. An answer is lost where none comes, or an error that is not "come again". The memory of the server after
half of the time is compared with that at the end.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console

from tests.http.servers import SERVE, Server, started

GROWN = 0.03
"""By how much the memory may grow in the second half."""

LINES = Path(__file__).read_text(encoding="utf-8").splitlines(keepends=True)


class Load:
    """Clients of `server`, which has `model`, until `seconds` are over, and what became of what they asked."""

    def __init__(self, server: Server, model: str, seconds: float) -> None:
        self._server = server
        self._model = model
        self._until = time.monotonic() + seconds
        self.outcomes: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.tokens = 0

    async def client(self, number: int) -> None:
        """Ask, line after line, and wait where the server says so."""
        turn = number
        while time.monotonic() < self._until:
            turn += 1
            prompt = f"# {number}\n" + "".join(LINES[: 1 + turn % len(LINES)])
            began = time.monotonic()
            body = {"model": self._model, "prompt": prompt, "max_tokens": 16, "temperature": 0}
            try:
                answer = await self._server.http.post("/v1/completions", json=body)
            except httpx.HTTPError as error:
                self.outcomes[f"lost: {type(error).__name__}"] += 1
                continue
            if answer.status_code == 429:
                self.outcomes["come again"] += 1
                await asyncio.sleep(float(answer.headers["Retry-After"]))
            elif answer.status_code != 200 or not answer.json()["choices"]:
                self.outcomes[f"lost: HTTP {answer.status_code}"] += 1
            else:
                self.outcomes["answered"] += 1
                self.latencies.append(time.monotonic() - began)
                self.tokens += answer.json()["usage"]["completion_tokens"]


async def measure(clients: int, seconds: float) -> dict[str, Any]:
    """Let them ask, and return what came of it."""
    async with started(command=SERVE) as server:
        process = psutil.Process(server.process.pid)
        model = (await server.http.get("/v1/models")).json()["data"][0]["id"]
        load = Load(server, model, seconds)
        asking = asyncio.gather(*(load.client(number) for number in range(clients)))
        await asyncio.sleep(seconds / 2)
        before = process.memory_info().rss
        await asyncio.sleep(seconds / 2 - 1)
        after = process.memory_info().rss
        await asking
    return {
        "clients": clients,
        "seconds": seconds,
        "outcomes": dict(load.outcomes),
        "lost": sum(count for name, count in load.outcomes.items() if name.startswith("lost")),
        "tokens_per_second": load.tokens / seconds,
        "latency_s": {"median": statistics.median(load.latencies), "most": max(load.latencies)},
        "bytes": {"before": before, "after": after},
        "growth": after / before - 1,
    }


def main() -> None:
    """Read the flags, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64, help="how many ask at once")
    parser.add_argument("--seconds", type=float, default=120.0, help="for how long")
    parser.add_argument("--json", type=Path, help="a file to write all figures to")
    flags = parser.parse_args()
    figures = asyncio.run(measure(flags.clients, flags.seconds))
    console = Console(highlight=False)
    console.print_json(json.dumps(figures))
    console.print(f"lost answers {figures['lost']}  asked 0: {'NO' if figures['lost'] else 'yes'}")
    console.print(
        f"growth {figures['growth']:.1%}  asked < {GROWN:.0%}: {'yes' if figures['growth'] < GROWN else 'NO'}"
    )
    if flags.json:
        flags.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
