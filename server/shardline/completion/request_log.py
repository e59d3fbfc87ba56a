"""In-memory log of the last requests and their outcomes."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from shardline.completion import Cut, Source, Suggestion
from shardline.completion.completer import Answer, Origin
from shardline.completion.markdown import code_cell, code_span
from shardline.engine import Usage

MAX_ENTRIES = 100
"""Requests kept, over all documents."""

Kind = Literal["pop-up", "ghost text"]
Outcome = Literal["waiting", "skipped", "superseded", "cancelled", "failed"]
"""The outcomes without an answer; `Origin` has the others."""


@dataclass(kw_only=True)
class Entry:
    """One request with its outcome.

    `reason` says in words why nothing was suggested, or not everything. `line` and `column` count from 1.
    """

    document: str
    line: int
    column: int
    kind: Kind
    asked: float = field(default_factory=time.time)
    outcome: Origin | Outcome = "waiting"
    reason: str = ""
    text: str = ""
    milliseconds: float = 0.0
    usage: Usage | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {**asdict(self), "usage": self.usage.as_json() if self.usage else None}

    def end(self, outcome: Origin | Outcome, reason: str = "") -> None:
        """Record the outcome and the time taken."""
        self.outcome, self.reason = outcome, reason
        self.milliseconds = 1000 * (time.time() - self.asked)

    def answer(self, answer: Answer, *, budget: float | None = None) -> None:
        """Record an answer; the editor waited at most `budget` milliseconds."""
        shown = answer.suggestions[0]
        reasons = [f"Cut was {_describe(cut, shown)}." for cut in shown.cuts]
        if not answer.finished:
            reasons.append("The time of completion.timeBudget was over before the rest was there.")
        elif not shown.text and not reasons:
            reasons.append("The model had nothing to say.")
        self.text, self.usage = shown.text, shown.usage
        self.end(answer.origin)
        if budget is not None and self.milliseconds > budget:
            reasons.append("The time of completion.popupBudget was over before; asking again shows it.")
        self.reason = " ".join(reasons)


class History:
    """The last requests, newest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)

    def begin(self, source: Source, kind: Kind) -> Entry:
        """Add a request."""
        entry = Entry(document=source.document, line=source.line + 1, column=source.column + 1, kind=kind)
        self._entries.appendleft(entry)
        return entry

    def of(self, document: str | None) -> list[Entry]:
        """Return the requests in `document`, or by default in the document of the newest request."""
        name = document or (self._entries[0].document if self._entries else "")
        return [entry for entry in self._entries if entry.document == name]

    def drop(self, document: str) -> None:
        """Drop the requests in a document that was closed."""
        self._entries = deque((entry for entry in self._entries if entry.document != document), maxlen=MAX_ENTRIES)


def page(entries: Sequence[Entry], status: str) -> str:
    """Return a Markdown page with the requests, below the `status` of the model in words.

    Text from models, servers and clients is in code spans.
    """
    lines = ["# What became of the last requests", "", code_span(status), ""]
    if not entries:
        return "\n".join([*lines, "Nothing was asked for in this document: the editor sent no request.", ""])
    rows = ("| time | at | asked as | answer | suggestion | why | tokens | ms |", "|---|---|---|---|---|---|---|---|")
    return "\n".join([*lines, code_span(entries[0].document), "", *rows, *_rows(entries), ""])


def _describe(cut: Cut, shown: Suggestion) -> str:
    return f"{cut}, {shown.confidence:.2f}" if cut is Cut.CONFIDENCE else cut


def _rows(entries: Iterable[Entry]) -> Iterable[str]:
    for entry in entries:
        clock = time.strftime("%H:%M:%S", time.localtime(entry.asked))
        tokens = f"{entry.usage.prompt_tokens} + {entry.usage.completion_tokens}" if entry.usage else ""
        first, *more = entry.text.strip().split("\n")
        shown = code_cell(first) + (f" and {len(more)} more" if more else "")
        where = f"{entry.line}:{entry.column}"
        cells = (
            clock,
            where,
            entry.kind,
            entry.outcome,
            shown,
            code_cell(entry.reason),
            tokens,
            f"{entry.milliseconds:.0f}",
        )
        yield f"| {' | '.join(cells)} |"
