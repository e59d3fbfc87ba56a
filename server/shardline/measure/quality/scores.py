"""Scores of filled holes: figures, a table and a picture."""

import difflib
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Required, TypedDict

from rich.table import Table

from shardline.measure import plot
from shardline.measure.quality.holes import Hole, Kind

SPECIAL_TOKEN = re.compile(r"<\|\w+\|>|</?s>|<fim_\w+>|<｜[^｜]+｜>|<(PRE|SUF|MID|EOT)>|\[(PREFIX|SUFFIX|INST)\]")
"""Names of special tokens in all families."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Result of one variant for one hole."""

    variant: str
    hole: Hole
    text: str
    seconds: float

    @property
    def exact(self) -> bool:
        """Whether the hole was filled as its author did, but for white space at the end."""
        return self.text.rstrip() == self.hole.expected.rstrip()

    @property
    def similarity(self) -> float:
        """Between 0 and 1: the share of characters that both have in the same order (Ratcliff and Obershelp)."""
        return difflib.SequenceMatcher(None, self.text.rstrip(), self.hole.expected.rstrip(), autojunk=False).ratio()

    @property
    def copies(self) -> bool:
        """Whether it repeats the next line of the document, unlike the hole."""
        next_line = self.hole.source.below or ""
        before = self.hole.source.before
        said, wanted = ((before + text).split("\n") for text in (self.text, self.hole.expected))
        return len(next_line.strip()) > 1 and next_line in said and next_line not in wanted

    @property
    def leaks(self) -> bool:
        """Whether it has the name of a special token."""
        return bool(SPECIAL_TOKEN.search(self.text)) and not SPECIAL_TOKEN.search(self.hole.expected)

    @property
    def first_line(self) -> bool:
        """Whether the first line that is not blank is right."""
        said, wanted = (text.strip().partition("\n")[0].rstrip() for text in (self.text, self.hole.expected))
        return said == wanted


class Figures(TypedDict, total=False):
    """Figures of filled holes, as `--json` writes them; without holes the first three figures are None."""

    holes: Required[int]
    exact_match: Required[float | None]
    edit_similarity: Required[float | None]
    first_line_match: Required[float | None]
    median_ms: float
    copies_of_the_next_line: int
    special_tokens: int


class VariantFigures(Figures):
    """Figures of a variant, over all holes and by their kinds."""

    kinds: dict[Kind, Figures]


Report = dict[str, VariantFigures]
"""Figures of each variant, by its name."""


def report(results: Sequence[Result], variants: Iterable[str]) -> Report:
    """Return the figures of each variant, over all holes and by their kinds, as `--json` writes them."""
    report: Report = {}
    for name in variants:
        own = [result for result in results if result.variant == name]
        kinds = dict.fromkeys(result.hole.kind for result in own)
        by_kind = {kind: _figures([result for result in own if result.hole.kind == kind]) for kind in kinds}
        report[name] = {**_figures(own), "kinds": by_kind}
    return report


def _figures(results: Sequence[Result]) -> Figures:
    if not results:
        return {"holes": 0, "exact_match": None, "edit_similarity": None, "first_line_match": None}
    return {
        "holes": len(results),
        "exact_match": statistics.mean(result.exact for result in results),
        "edit_similarity": statistics.mean(result.similarity for result in results),
        "first_line_match": statistics.mean(result.first_line for result in results),
        "median_ms": 1000 * statistics.median(result.seconds for result in results),
        "copies_of_the_next_line": sum(result.copies for result in results),
        "special_tokens": sum(result.leaks for result in results),
    }


def table(report: Report) -> Table:
    """Return the exact matches of each kind of hole and the other figures, a column for each variant."""
    shown = Table("Filled exactly")
    for name in report:
        shown.add_column(name, justify="right")
    done = {name: figures for name, figures in report.items() if figures["holes"]}
    kinds = next((list(figures["kinds"]) for figures in done.values()), [])
    for kind in kinds:
        shown.add_row(kind, *(_share(figures["kinds"].get(kind)) for figures in report.values()))
    shown.add_row("all holes", *(_share(figures) for figures in report.values()), end_section=True)
    for name, key, form in _OTHERS:
        shown.add_row(name, *(form.format(figures[key]) if figures["holes"] else "" for figures in report.values()))
    return shown


_Other = Literal["edit_similarity", "first_line_match", "median_ms", "copies_of_the_next_line", "special_tokens"]
_OTHERS: tuple[tuple[str, _Other, str], ...] = (
    ("edit similarity", "edit_similarity", "{:.2f}"),
    ("first line right", "first_line_match", "{:.0%}"),
    ("median ms", "median_ms", "{:.0f}"),
    ("copies of the next line", "copies_of_the_next_line", "{}"),
    ("special tokens", "special_tokens", "{}"),
)


def _share(cell: Figures | None) -> str:
    return f"{round(_exact(cell) * cell['holes'])}/{cell['holes']}" if cell and cell["holes"] else ""


def _exact(figures: Figures) -> float:
    return figures["exact_match"] or 0.0


def draw(report: Report, file: Path, *, title: str) -> None:
    """Draw the share of holes that each variant filled exactly, as a PNG."""
    kinds = list(next(iter(report.values()))["kinds"])
    shares = {
        name: [100 * _exact(figures["kinds"][kind]) for kind in kinds] + [100 * _exact(figures)]
        for name, figures in report.items()
        if figures["holes"]
    }
    plot.bars(file, title=title, unit="% of holes", groups=[*kinds, "all holes"], series=shares)
