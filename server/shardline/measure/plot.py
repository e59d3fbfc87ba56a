"""Pictures of figures."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, PAPER, GRID = "#1f2937", "#ffffff", "#e5e7eb"
COLOURS = ("#9ca3af", "#60a5fa", "#34d399", "#1d4ed8", "#f59e0b", "#ef4444", "#8b5cf6", "#0f766e")
"""The first, grey, is what the others are compared with."""

MAX_TICKS = 10
"""Days that are named below a picture of many."""


def bars(file: Path, *, title: str, unit: str, groups: Sequence[str], series: Mapping[str, Sequence[float]]) -> None:
    """Draw a PNG of horizontal bars: for each of `groups` one bar of each of `series`, with its value in `unit`."""
    figure = _figure(1.2 + len(groups) * (0.25 + 0.2 * len(series)))
    axes = figure.add_subplot(facecolor=PAPER)
    thickness = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = [group + (number + 0.5) * thickness - 0.4 for group in range(len(groups))]
        drawn = axes.barh(places, values, thickness * 0.9, label=name, color=COLOURS[number % len(COLOURS)])
        axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=7, color=INK)
    axes.set_yticks(range(len(groups)), groups, color=INK)
    axes.invert_yaxis()
    axes.set_xlabel(unit, color=INK)
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=28)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.margins(x=0.08)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=len(series), frameon=False, fontsize=9, borderaxespad=0.2
    )
    figure.savefig(file, bbox_inches="tight", format="png")


def session(
    file: Path,
    *,
    title: str,
    latencies: Sequence[tuple[int, float]],
    marks: Mapping[float, str],
    tokens: Mapping[str, Sequence[int]],
) -> None:
    """Draw a PNG of a typing session, keystroke by keystroke from left to right.

    Above, a point for the latency of each suggestion, in milliseconds, with a named line for each of `marks`; below,
    stacked bars of tokens.
    """
    figure = _figure(5)
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    above.scatter([at for at, _ in latencies], [value for _, value in latencies], s=10, color=COLOURS[1])
    for value, name in marks.items():
        above.axhline(value, color=COLOURS[5], linewidth=0.8)
        above.annotate(f"{name} {value:.0f} ms", (1, value), xycoords=("axes fraction", "data"), fontsize=7, color=INK)
    above.set_ylabel("milliseconds to the suggestion", color=INK)
    above.set_ylim(bottom=0)
    above.set_title(title, loc="left", fontsize=11, color=INK)
    bottom = [0] * max(map(len, tokens.values()), default=0)
    for number, (name, values) in enumerate(tokens.items(), 2):
        below.bar(range(1, len(values) + 1), values, 1, bottom=bottom, label=name, color=COLOURS[number])
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    below.set_yscale("symlog", linthresh=10)  # a prompt read anew has a thousand times the tokens of a key
    below.set_ylabel("tokens computed", color=INK)
    below.set_xlabel("keystroke", color=INK)
    for axes in (above, below):
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
    if tokens:
        below.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(tokens), frameon=False, fontsize=9)
    figure.savefig(file, bbox_inches="tight", format="png")


def suggestions(
    file: Path,
    *,
    title: str,
    days: Sequence[date],
    counts: Mapping[str, Sequence[int]],
    latencies: Mapping[str, Sequence[float | None]],
) -> None:
    """Draw a PNG of what became of suggestions day by day: above, how many; below, how long they took, if any did.

    Of `counts` each is a part of the one before, and is drawn in front of it.
    """
    figure = _figure(5)
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2), gridspec_kw={"hspace": 0.3})
    for number, (name, values) in enumerate(counts.items()):
        above.bar(range(len(days)), values, 0.8, label=name, color=COLOURS[3 * number])
    for number, (name, spans) in enumerate(latencies.items()):
        places = [place for place, span in enumerate(spans) if span is not None]
        below.plot(
            places, [spans[place] for place in places], "o-", label=name, color=COLOURS[4 - number], markersize=4
        )
    ticks = range(0, len(days), -(-len(days) // MAX_TICKS))
    below.set_xticks(ticks, [f"{days[tick]:%d %b}" for tick in ticks])
    below.set_xlim(-0.6, len(days) - 0.4)
    above.set_title(title, loc="left", fontsize=11, color=INK, pad=28)
    above.set_ylabel("suggestions", color=INK)
    below.set_ylabel("milliseconds", color=INK)
    figure.align_ylabels()
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0, labelcolor=INK)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9)
    figure.savefig(file, bbox_inches="tight", format="png")


def _figure(height: float) -> "Figure":
    """Make an empty figure of this height in inches, drawn by our settings alone.

    matplotlib reads a matplotlibrc in the working directory, which may run LaTeX; a name may look like a formula.
    """
    import matplotlib as mpl  # lazy: takes half a second
    from matplotlib.figure import Figure

    mpl.rcdefaults()
    mpl.rcParams["text.parse_math"] = False
    return Figure(figsize=(9, height), dpi=150, facecolor=PAPER)
