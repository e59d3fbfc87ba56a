"""Greedy, top-k, top-p and temperature choose only what they may, and a seed repeats itself."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shardline.engine.generation.sampling import BLOCK, Sampler

logits_of_ten = st.lists(st.floats(-5, 5, width=32), min_size=10, max_size=10).map(torch.tensor)


@given(logits_of_ten)
def test_temperature_zero_takes_the_likeliest(logits: torch.Tensor) -> None:
    assert logits[Sampler()(logits)[0]] == logits.max()


@given(logits_of_ten, st.integers(1, 10), st.integers(0, 100))
def test_top_k_stays_among_the_k_likeliest(logits: torch.Tensor, k: int, seed: int) -> None:
    token, _ = Sampler(temperature=2.0, top_k=k, seed=seed)(logits)
    assert (logits > logits[token]).sum() < k


@given(logits_of_ten, st.floats(0, 1), st.integers(0, 100))
def test_top_p_stays_in_the_nucleus(logits: torch.Tensor, p: float, seed: int) -> None:
    token, _ = Sampler(temperature=1.0, top_p=p, seed=seed)(logits)
    probabilities = logits.softmax(0)
    likelier = probabilities[probabilities > probabilities[token]].sum()
    assert likelier <= p + 1e-5


@given(logits_of_ten, st.floats(0, 1), st.integers(0, 100))
def test_min_p_leaves_out_what_is_far_less_likely_than_the_likeliest(logits: torch.Tensor, p: float, seed: int) -> None:
    token, _ = Sampler(temperature=1.0, min_p=p, seed=seed)(logits)
    probabilities = logits.softmax(0)
    assert probabilities[token] >= p * probabilities.max() - 1e-6


def test_top_p_zero_is_greedy() -> None:
    logits = torch.tensor([0.0, 3.0, 1.0])
    assert {Sampler(temperature=5.0, top_p=0.0, seed=seed)(logits)[0] for seed in range(20)} == {1}


def test_the_same_seed_draws_the_same_tokens() -> None:
    logits = torch.zeros(100)
    first, second = Sampler(temperature=1.0, seed=7), Sampler(temperature=1.0, seed=7)
    assert [first(logits) for _ in range(20)] == [second(logits) for _ in range(20)]


@pytest.mark.parametrize("places", [(0, 1, 2), (0, BLOCK - 1, BLOCK), (BLOCK + 3, 3 * BLOCK, 4 * BLOCK - 2)])
def test_tokens_are_drawn_as_often_as_they_are_likely(places: tuple[int, int, int]) -> None:
    logits = torch.full((4 * BLOCK + 1,), -math.inf)
    logits[list(places)] = torch.tensor([0.7, 0.2, 0.1]).log()
    sampler = Sampler(temperature=1.0, seed=0)
    counts = Counter(sampler(logits)[0] for _ in range(3000))
    shares = [counts[place] / 3000 for place in places]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.04)
    assert sum(counts[place] for place in places) == 3000


@given(logits_of_ten, st.integers(0, 9), st.sampled_from([0.0, 2.0]))
def test_a_choice_is_the_rank_of_the_first_token_and_of_no_other(
    logits: torch.Tensor, rank: int, temperature: float
) -> None:
    sampler = Sampler(temperature=temperature, choice=rank, seed=0)
    token, _ = sampler(logits)
    if rank:
        assert (logits > logits[token]).sum() <= rank <= (logits >= logits[token]).sum() - 1
    if temperature == 0:
        assert logits[sampler(logits)[0]] == logits.max()


def test_a_choice_beyond_the_tokens_there_are_is_the_last() -> None:
    assert Sampler(choice=5)(torch.tensor([1.0, 0.0]))[0] == 1


@given(logits_of_ten, st.floats(0, 3), st.integers(1, 10))
def test_the_probability_is_the_models_own(logits: torch.Tensor, temperature: float, k: int) -> None:
    token, logprob = Sampler(temperature=temperature, top_k=k, seed=0)(logits)
    assert logprob == pytest.approx(float(logits.log_softmax(0)[token]), abs=1e-4)
