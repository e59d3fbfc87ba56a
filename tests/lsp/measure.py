"""What the server itself costs, without a model: `python -m tests.lsp.measure --json FILE`.

How long it takes from a keystroke to its answer, over a pipe and with a scripted engine, in a document of 10,000 lines;
how long from its start to the answer to `initialize`, beside a server of pygls that does nothing; and by how much it
grows while it is used.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.lsp.wire import GHOST, URI, at, changed, framed, opened, span

HERE = Path(__file__).parent
LEAN, BARE = ([sys.executable, str(HERE / name)] for name in ("lean_server.py", "bare_server.py"))
SHARDLINE = [sys.executable, "-m", "shardline"]

FUNCTION = '''
def function_{number}(values: list[int], factor: int = {number}) -> int:
    """Add up what is in `values`, each multiplied by `factor`."""
    total = 0
    for value in values:
        if value < 0:
            continue
        total += value * factor
    return total
'''
LINES, CURSOR = 10_000, 5_005
"""Lines of the document, and the one that is typed in."""

ASKED_MS, STARTED_RATIO, GROWN = 3.0, 1.25, 0.05
"""What is asked for: milliseconds (95 %) for an answer, the time to start against the bare server's, and the growth."""


class Peer:
    """One server process, spoken to without a library, so that the client costs little."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._asked = 0

    def notify(self, method: str, params: Any) -> None:
        self._say({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, params: Any) -> Any:
        """Send a request and wait for its answer."""
        self._asked += 1
        self._say({"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params})
        while (message := self._hear()).get("id") != self._asked:
            pass
        return message["result"]

    def greet(self) -> None:
        """Initialize the server, and wait until its model is ready."""
        self.ask("initialize", INITIALIZE)
        self.notify("initialized", {})
        while (self._hear().get("params") or {}).get("state") != "ready":
            pass

    def leave(self) -> None:
        self.ask("shutdown", None)
        self.notify("exit", None)
        self.process.wait()

    def _say(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(framed(json.dumps(message).encode()))
        self.process.stdin.flush()

    def _hear(self) -> Any:
        assert self.process.stdout is not None
        length = int(self.process.stdout.readline().split()[1])
        while self.process.stdout.readline().strip():
            pass
        return json.loads(self.process.stdout.read(length))


INITIALIZE = {
    "initializationOptions": {"completion": {"debounce": 0}},
    "processId": None,
    "rootUri": None,
    "capabilities": {"experimental": {"shardlineStatus": True}},
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Something measured several times, in milliseconds."""

    name: str
    times: Sequence[float]

    @property
    def figures(self) -> dict[str, float]:
        """The median, the 95th percentile, and the spread: the middle half of the times, as a share of the median."""
        first, median, third = statistics.quantiles(self.times, n=4)
        p95 = statistics.quantiles(self.times, n=20)[-1]
        return {"median": median, "p95": p95, "spread": (third - first) / median}


@contextmanager
def greeted() -> Iterator[Peer]:
    peer = Peer(LEAN)
    peer.greet()
    yield peer
    peer.leave()


def document(lines: int) -> str:
    functions = "".join(FUNCTION.format(number=number) for number in range(1 + lines // 8))
    return "".join(functions.splitlines(keepends=True)[:lines])


def keystroke(peer: Peer, text: str, start: int, end: int, uri: str = URI) -> tuple[float, str]:
    """Put `text` in place of two columns of the cursor's line and ask behind it; milliseconds, and the suggestion."""
    began = time.perf_counter()
    peer.notify("textDocument/didChange", changed({"range": span(CURSOR, start, CURSOR, end), "text": text}, uri=uri))
    items = peer.ask(GHOST, at(CURSOR, start + len(text), uri))
    return 1000 * (time.perf_counter() - began), items[0]["insertText"]


def answers(count: int) -> list[Row]:
    """How long answers take that must be made, and those that are known because the suggestion is being typed."""
    made, known = [], []
    suggestion = "compute(value, factor)"
    with greeted() as peer:
        peer.notify("textDocument/didOpen", opened(document(LINES)))
        for number in range(count):
            line = f"        result_{number} = say:{suggestion}"
            time_made, text = keystroke(peer, line, 0, 10**6)
            time_known, rest = keystroke(peer, suggestion[0], len(line), len(line))
            assert (text, rest) == (suggestion, suggestion[1:])
            made.append(time_made)
            known.append(time_known)
    return [Row(name="an answer that is made", times=made), Row(name="an answer that is known", times=known)]


def starts(count: int) -> list[Row]:
    """How long it takes from the start of the process to the answer to `initialize`, one server after the other."""
    times: dict[str, list[float]] = {"shardline's start": [], "a bare server's start": []}
    for _ in range(count):
        for command, taken in zip((SHARDLINE, BARE), times.values(), strict=True):
            began = time.perf_counter()
            peer = Peer(command)
            peer.ask("initialize", INITIALIZE)
            taken.append(1000 * (time.perf_counter() - began))
            peer.leave()
    return [Row(name=name, times=taken) for name, taken in times.items()]


def growth(requests: int, documents: int) -> tuple[int, int]:
    """Return the bytes that the server has in memory after a tenth of these requests and documents, and after all."""
    text, each = document(LINES), requests // documents
    with greeted() as peer:
        process = psutil.Process(peer.process.pid)
        for number in range(documents):
            if number == documents // 10:
                before = process.memory_info().rss
            uri = f"file:///work/{number}.py"
            peer.notify("textDocument/didOpen", opened(text, uri))
            for turn in range(each):
                keystroke(peer, f"        result_{number} = say:{turn}", 0, 10**6, uri)
            peer.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        return before, process.memory_info().rss


def measure(requests: int, runs: int, documents: int) -> dict[str, Any]:
    """Measure all, print it, and return all figures."""
    rows = [*answers(requests // 20), *starts(runs)]
    before, after = growth(requests, documents)
    table = Table("milliseconds", "median", "95 %", "spread")
    for row in rows:
        table.add_row(row.name, *(f"{figure:.2f}" for figure in row.figures.values()))
    console = Console()
    console.print(table)
    made, _, own, bare = (row.figures for row in rows)
    claims = {
        "milliseconds to an answer (95 %)": (made["p95"], ASKED_MS),
        "start against a bare server": (own["median"] / bare["median"], STARTED_RATIO),
        f"growth over {requests} requests": (after / before - 1, GROWN),
    }
    for name, (measured, asked) in claims.items():
        console.print(f"{name:36} {measured:8.3f}  asked {asked}: {'yes' if measured <= asked else 'NO'}")
    return {
        "milliseconds": {row.name: {**row.figures, "times": list(row.times)} for row in rows},
        "bytes": {"before": before, "after": after},
        "claims": {name: {"measured": measured, "asked": asked} for name, (measured, asked) in claims.items()},
    }


def main() -> None:
    """Read the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="how many requests memory is measured over")
    parser.add_argument("--documents", type=int, default=500, help="how many documents these are spread over")
    parser.add_argument("--runs", type=int, default=15, help="how often each server is started")
    parser.add_argument("--json", type=Path, help="a file to write all figures to")
    flags = parser.parse_args()
    figures = measure(flags.requests, flags.runs, flags.documents)
    if flags.json:
        flags.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
