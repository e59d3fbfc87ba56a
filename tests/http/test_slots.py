"""Which prompts share a KV cache depends on how much of them is the same."""

from hypothesis import given
from hypothesis import strategies as st

from shardline.http.prompt_slots import BLOCK, common


@given(st.text("ab", max_size=5), st.text("ab", max_size=5), st.integers(0, 3), st.integers(-2, 2))
def test_how_much_two_texts_share_is_exact(one: str, other: str, blocks: int, more: int) -> None:
    head = "a" * max(0, blocks * BLOCK + more)
    longest = min(len(one), len(other))
    same = next((at for at in range(longest) if one[at] != other[at]), longest)
    assert common(head + one, head + other) == len(head) + same
