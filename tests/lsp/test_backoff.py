"""Pauses before a lost engine is loaded again: none at first, longer and longer ones, and none when it was well."""

from itertools import pairwise
from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from shardline.lsp.hosting.backoff import HEALTHY_SECONDS, MAX_PAUSE_SECONDS, MIN_PAUSE_SECONDS, Backoff

short = st.floats(0, HEALTHY_SECONDS - 0.01)
soon = st.none() | short  # None: it was lost before all was well
later = st.floats(HEALTHY_SECONDS + 0.01, 1e6)


class Clock:
    """Lives through what happens to an engine, which takes no time to be loaded."""

    def __init__(self) -> None:
        self.now = 0.0
        self._backoff = Backoff()

    def lose_after(self, seconds: float | None) -> float:
        """Lose it when it was well for so long; returns the pause, which is over then."""
        if seconds is not None:
            self._backoff.succeed(self.now)
            self.now += seconds
        pause = self._backoff.fail(self.now)
        self.now += pause
        return pause


@given(st.lists(soon | later), later)
def test_one_that_has_run_well_comes_back_at_once_whatever_was_before(lives: list[float | None], last: float) -> None:
    clock = Clock()
    for life in lives:
        clock.lose_after(life)
    assert clock.lose_after(last) == 0


@given(soon | later, st.lists(soon, min_size=1))
def test_one_that_dies_again_soon_waits_twice_as_long_each_time(first: float | None, lives: list[float | None]) -> None:
    clock = Clock()
    pauses = [clock.lose_after(life) for life in (first, *lives)]
    assert pauses[:2] == [0, MIN_PAUSE_SECONDS]
    for before, pause in pairwise(pauses[1:]):
        assert pause == min(2 * before, MAX_PAUSE_SECONDS)


@given(short, st.floats(0, 3600))
def test_one_that_keeps_dying_is_tried_seldom(life: float, seconds: float) -> None:
    clock = Clock()
    for _ in range(3 + ceil(log2(MAX_PAUSE_SECONDS / MIN_PAUSE_SECONDS)) + int(seconds / MAX_PAUSE_SECONDS)):
        clock.lose_after(life)
    assert clock.now > seconds
