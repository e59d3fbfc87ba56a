"""Laws of counts: they add up in any order, and percentiles of their steps bound those of the values."""

from hypothesis import given
from hypothesis import strategies as st

from shardline.measure.typing.summary import percentile
from shardline.statistics.counts import ACCEPTED, CHARACTERS, KEPT, STEPS, Counts, Key, figures, grouped, shown_after

keys = st.builds(
    Key,
    day=st.sampled_from(["2026-11-23", "2026-11-24"]),
    language=st.sampled_from(["python", "rust"]),
    model=st.just("m"),
    kind=st.sampled_from(["ghost", "popup"]),
    name=st.sampled_from([ACCEPTED, CHARACTERS, KEPT, "latency 3", "latency 7"]),
)
counts = st.dictionaries(keys, st.integers(1, 1000)).map(Counts)
latencies = st.lists(st.floats(0, STEPS[-1]), min_size=1, max_size=50)


@given(counts, counts, counts)
def test_adding_is_associative_and_commutative(a: Counts, b: Counts, c: Counts) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert figures((a + b).items()) == figures([*a.items(), *b.items()])


@given(counts)
def test_groups_add_up_to_all(some: Counts) -> None:
    whole = figures(some.items())
    for group in (grouped(some, lambda key: key.day), grouped(some, lambda key: key.language)):
        assert sum(one.shown for one in group.values()) == whole.shown
        assert sum(one.kept for one in group.values()) == whole.kept


@given(latencies, st.integers(1, 100))
def test_a_percentile_bounds_the_measured_one_within_a_step(milliseconds: list[float], percent: int) -> None:
    some: Counts = Counts()
    for one in milliseconds:
        some[Key("2026-11-24", "python", "m", "ghost", shown_after(one))] += 1
    told, measured = figures(some.items()).latency(percent), percentile(milliseconds, percent)
    assert told is not None
    assert measured is not None
    assert measured <= told <= max(STEPS[0], measured * 2**0.25 * (1 + 1e-9))


def test_where_there_is_nothing_there_are_no_shares_and_no_latency() -> None:
    nothing = figures([])
    assert (nothing.accepted_share, nothing.kept_share, nothing.latency(50)) == (None, None, None)


def test_a_latency_without_end_is_counted_too() -> None:
    assert figures([(Key("2026-11-24", "python", "m", "ghost", shown_after(1e12)), 1)]).latency(50) == STEPS[-1]
