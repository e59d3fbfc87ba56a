"""Summary of a replay: table, JSON and picture."""

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from shardline.measure import plot
from shardline.measure.typing.outcomes import Outcome, Record

ANSWERED = (Outcome.EMPTY, Outcome.SHOWN, Outcome.STALE, Outcome.UNTRUE)


def report(record: Record) -> dict[str, Any]:
    """Return the figures as `--json` writes them; None where nothing was measured or reported.

    `requests` is the sum of `answered`, `unanswered`, `cancelled`, `superseded` and `failed`. Latency is from the key
    to a suggestion that fits the document as it is then. Tokens are those of all requests, of cancelled ones too.
    """
    requests = record.requests.values()
    counts = Counter(request.outcome for request in requests)
    latencies = [1000 * request.seconds for request in requests if request.outcome is Outcome.SHOWN]
    known = [not request.generated for request in requests if request.outcome in (Outcome.SHOWN, Outcome.STALE)]
    return {
        "keystrokes": record.keystrokes,
        "requests": len(requests),
        "answered": sum(counts[outcome] for outcome in ANSWERED),
        **{str(outcome): counts[outcome] for outcome in Outcome},
        "accepted": record.accepted,
        "known_share": statistics.mean(known) if known and record.tells_usage else None,
        "latency_ms": {f"p{percent}": percentile(latencies, percent) for percent in (50, 90, 95, 99)},
        "tokens_computed_per_keystroke": _spread(record, prompt=True, completion=True),
        "prompt_tokens_computed_per_keystroke": _spread(record, prompt=True, completion=False),
    }


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Return the smallest of `values` that so many per cent of them do not exceed (nearest rank); None of no values."""
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)] if ordered else None


def table(report: dict[str, Any]) -> Table:
    """Return the figures for people; a dash where there is none."""
    title = f"{report['file']} typed in front of {report['server']}, as with {report['client']}"
    shown = Table(title=Text(title), caption="Latency from the key to a suggestion that fits; tokens read or written")
    shown.add_column()
    shown.add_column(justify="right")
    shown.show_header = False
    for name in ("keystrokes", "accepted"):
        shown.add_row(name, str(report[name]), end_section=name == "accepted")
    for name in ("requests", "answered", "unanswered", "cancelled", "superseded", "failed"):
        shown.add_row(name, str(report[name]), end_section=name == "failed")
    for name in ("shown", "empty", "stale", "untrue"):
        shown.add_row(f"answered: {name}", str(report[name]))
    share = report["known_share"]
    shown.add_row("answered: from what was known", "-" if share is None else f"{share:.0%}", end_section=True)
    for name, value in report["latency_ms"].items():
        shown.add_row(f"latency {name}, ms", _number(value), end_section=name == "p99")
    for key, name in _TOKENS.items():
        for which, value in report[key].items():
            shown.add_row(f"{name} per keystroke, {which}", _number(value))
    return shown


def draw(record: Record, file: Path, *, title: str) -> None:
    """Draw the latency of each suggestion and the tokens of each key over the whole replay, as a PNG."""
    shown = [request for request in record.requests.values() if request.outcome is Outcome.SHOWN]
    latencies = [1000 * request.seconds for request in shown]
    p50, p95 = (percentile(latencies, percent) for percent in (50, 95))
    plot.session(
        file,
        title=title,
        latencies=[(request.keystroke, latency) for request, latency in zip(shown, latencies, strict=True)],
        marks={} if p50 is None or p95 is None else {p95: "p95", p50: "p50"},
        tokens={
            "prompt": _per_keystroke(record, prompt=True, completion=False),
            "completion": _per_keystroke(record, prompt=False, completion=True),
        }
        if record.tells_usage
        else {},
    )


_TOKENS = {
    "tokens_computed_per_keystroke": "tokens",
    "prompt_tokens_computed_per_keystroke": "of them prompt",
}


def _spread(record: Record, *, prompt: bool, completion: bool) -> dict[str, float | None]:
    tokens = _per_keystroke(record, prompt=prompt, completion=completion) if record.tells_usage else []
    return {"median": statistics.median(tokens) if tokens else None, "p95": percentile(tokens, 95)}


def _per_keystroke(record: Record, *, prompt: bool, completion: bool) -> list[int]:
    tokens = [0] * record.keystrokes
    for request in record.requests.values():
        tokens[request.keystroke - 1] += prompt * request.prompt_tokens + completion * request.completion_tokens
    return tokens


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
