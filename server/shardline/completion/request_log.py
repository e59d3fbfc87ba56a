"""Log of the last requests, in memory, for `shardline.explain`."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from shardline.completion import Source
from shardline.completion.completer import Answer
from shardline.completion.markdown import code_cell, code_span
from shardline.engine import Usage

MOST = 100
"""Requests that are remembered, of all documents together."""


@dataclass(kw_only=True)
class Entry:
    """One request: where and how it was asked, and what became of it.

    `outcome` is how it was answered: known, joined, generated, skipped, superseded, cancelled, failed or waiting;
    `reason` says in words why nothing came, or not all. `line` and `column` count from 1.
    """

    document: str
    line: int
    column: int
    kind: str
    asked: float = field(default_factory=time.time)
    outcome: str = "waiting"
    reason: str = ""
    text: str = ""
    milliseconds: float = 0.0
    usage: Usage | None = None

    def as_json(self) -> dict[str, Any]:
        """All of it by name."""
        return {**asdict(self), "usage": self.usage.as_json() if self.usage else None}

    def end(self, outcome: str, reason: str = "") -> None:
        """Record the outcome, and the time."""
        self.outcome, self.reason = outcome, reason
        self.milliseconds = 1000 * (time.time() - self.asked)

    def answer(self, answer: Answer, *, budget: float | None = None) -> None:
        """Record the answer; `budget` is how many milliseconds the editor waits at most."""
        shown = answer.suggestions[0]
        reasons = [f"Cut was {cut}." for cut in shown.cuts]
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
    """The last requests, the newest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MOST)

    def begin(self, source: Source, kind: str) -> Entry:
        """Record a new request."""
        entry = Entry(document=source.document, line=source.line + 1, column=source.column + 1, kind=kind)
        self._entries.appendleft(entry)
        return entry

    def of(self, document: str | None) -> list[Entry]:
        """Those of a document; where none is named, of that which was asked for last."""
        name = document or (self._entries[0].document if self._entries else "")
        return [entry for entry in self._entries if entry.document == name]

    def drop(self, document: str) -> None:
        """Drop a document that was closed."""
        self._entries = deque((entry for entry in self._entries if entry.document != document), maxlen=MOST)


def page(entries: Sequence[Entry], status: str) -> str:
    """Return the requests as a page in Markdown, below the `status` of the model in words.

    All that a model, a server or a client has said is in code spans.
    """
    lines = ["# What became of the last requests", "", code_span(status), ""]
    if not entries:
        return "\n".join([*lines, "Nothing was asked for in this document: the editor sent no request.", ""])
    rows = ("| time | at | asked as | answer | suggestion | why | tokens | ms |", "|---|---|---|---|---|---|---|---|")
    return "\n".join([*lines, code_span(entries[0].document), "", *rows, *_rows(entries), ""])


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
