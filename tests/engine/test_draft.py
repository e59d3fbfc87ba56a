"""Drafts change how fast tokens come and never which."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shardline.engine.generation.prompt_lookup import GUESSES, MAX_PAUSE, PromptLookup
from shardline.engine.generation.sampling import Sampler
from tests.engine.echo import WORDS, Echo, run, table


@settings(deadline=None)
@given(st.integers(0, 500), st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=30), st.sampled_from([0.0, 1.0]))
def test_drafted_equals_undrafted(seed: int, prompt: list[int], temperature: float) -> None:
    plain, drafted = Echo(table(seed, 5.0)), Echo(table(seed, 5.0))
    expected = run(plain, prompt, PromptLookup([]), Sampler(temperature=temperature, seed=1))
    assert run(drafted, prompt, PromptLookup(prompt), Sampler(temperature=temperature, seed=1)) == expected
    assert len(expected) == 60
    assert drafted.passes <= plain.passes


def test_text_that_repeats_itself_takes_far_fewer_passes() -> None:
    plain, drafted = Echo(table(0, 5.0)), Echo(table(0, 5.0))
    prompt = run(plain, [1, 2], PromptLookup([]), Sampler())
    plain.passes = 0
    run(plain, prompt, PromptLookup([]), Sampler())
    run(drafted, prompt, PromptLookup(prompt), Sampler())
    assert drafted.passes < plain.passes / 3


def test_the_most_recent_match_is_guessed_and_the_longer_one_first() -> None:
    assert PromptLookup([1, 2, 3, 7, 7, 1, 2, 3, 8, 1, 2]).guess_after(3)[0] == 8
    assert PromptLookup([0, 1, 2, 3, 7, 9, 2, 3, 8, 0, 1, 2]).guess_after(3)[0] == 7
    assert PromptLookup([1, 2, 3]).guess_after(4) == []


def test_it_falls_silent_where_it_is_wrong() -> None:
    draft = PromptLookup([1, 2] * 20)
    assert len(draft.guess_after(1)) == GUESSES
    draft.add(2)
    asked, silent = 0, 0
    for _ in range(200):
        guesses = draft.guess_after(1)
        draft.add(2)
        draft.learn(len(guesses), 0)
        asked += bool(guesses)
        silent += not guesses
    assert silent > 10 * asked
    assert asked >= 200 // (MAX_PAUSE + 1)


def test_without_text_nothing_is_guessed() -> None:
    draft = PromptLookup([])
    assert [draft.guess_after(1) for _ in range(2)] == [[], []]
