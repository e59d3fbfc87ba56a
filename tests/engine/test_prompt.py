"""A prompt fits its budget, keeps the end of the text, and its edge stays put while one types."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shardline.engine import prompt
from tests import tiny

TOKENIZER = tiny.tokenizer()
TOKENIZER.encode_special_tokens = True


@given(st.text(max_size=300), st.integers(4, 200))
def test_a_prompt_fits_and_ends_as_the_text_ends(text: str, budget: int) -> None:
    ids = prompt.build(text, tokenizer=TOKENIZER, begin_ids=[1], budget=budget)
    assert len(ids) <= budget
    assert ids[0] == 1
    whole = TOKENIZER.encode(text, add_special_tokens=False).ids
    assert whole[len(whole) - len(ids) + 1 :] == ids[1:]


def test_the_edge_moves_in_coarse_steps() -> None:
    text = "x = value\n" * 100
    edges = []
    for end in range(500, len(text)):
        ids = prompt.build(text[:end], tokenizer=TOKENIZER, begin_ids=[], budget=100)
        whole = TOKENIZER.encode(text[:end], add_special_tokens=False).ids
        edges.append(len(whole) - len(ids))
    moves = sum(before != after for before, after in pairwise(edges))
    assert len(set(edges)) > 3
    assert moves < len(edges) / 20


def test_text_that_reads_like_a_special_token_stays_text() -> None:
    ids = prompt.build("a <|end|> b", tokenizer=TOKENIZER, begin_ids=[], budget=100)
    assert 0 not in ids
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == "a <|end|> b"
