"""Counts of suggestions by day and label, and their figures.

A count is of a day, a label and a name: "accepted", "characters" (accepted ones), "kept" (of those), or the latency of
suggestions that were shown. Latencies are counted in fixed steps, so that a year of them takes no more room than a day.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

ACCEPTED, CHARACTERS, KEPT = "accepted", "characters", "kept"

STEPS = tuple(2 ** (step / 4) for step in range(81))
"""Milliseconds, each a fifth more than the one before, up to 17 minutes."""

_LATENCY = "latency "


class Label(NamedTuple):
    """Language, model and way of a suggestion: shown as "ghost" text or in a "popup"."""

    language: str
    model: str
    kind: str


class Key(NamedTuple):
    """Counted event and its day, as YYYY-MM-DD."""

    day: str
    language: str
    model: str
    kind: str
    name: str


Counts = Counter[Key]


def shown_after(milliseconds: float) -> str:
    """Return the name under which a suggestion is counted that was shown after so long."""
    return f"{_LATENCY}{min(bisect_left(STEPS, milliseconds), len(STEPS) - 1)}"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Sums of counts: suggestions and, but for `latencies`, characters that are not blank."""

    accepted: int
    characters: int
    kept: int
    latencies: Mapping[int, int]
    """Suggestions shown in each of `STEPS`."""

    @property
    def shown(self) -> int:
        """Suggestions shown."""
        return sum(self.latencies.values())

    @property
    def accepted_share(self) -> float | None:
        """The part of the suggestions that was accepted; None where there were none."""
        return self.accepted / self.shown if self.shown else None

    @property
    def kept_share(self) -> float | None:
        """The part of the accepted characters that was kept; None where there were none."""
        return self.kept / self.characters if self.characters else None

    def latency(self, percent: int) -> float | None:
        """Milliseconds that so many per cent of the suggestions did not exceed (nearest rank), rounded up to a step."""
        rank = max(1, math.ceil(percent * self.shown / 100))
        for step in sorted(self.latencies):
            rank -= self.latencies[step]
            if rank <= 0:
                return STEPS[step]
        return None


def figures(counts: Iterable[tuple[Key, int]]) -> Figures:
    """Add counts up, whatever their days and labels are."""
    sums: Counter[str] = Counter()
    for key, amount in counts:
        sums[key.name] += amount
    return Figures(
        accepted=sums[ACCEPTED],
        characters=sums[CHARACTERS],
        kept=sums[KEPT],
        latencies={
            int(name.removeprefix(_LATENCY)): amount for name, amount in sums.items() if name.startswith(_LATENCY)
        },
    )


def grouped(counts: Counts, group: Callable[[Key], str]) -> dict[str, Figures]:
    """Return the figures of each group, in the order of their names."""
    groups: defaultdict[str, list[tuple[Key, int]]] = defaultdict(list)
    for key, amount in counts.items():
        groups[group(key)].append((key, amount))
    return {name: figures(groups[name]) for name in sorted(groups)}
