"""Stop sequences are found wherever the stream is cut into chunks, and nothing shown is ever taken back."""

from hypothesis import given
from hypothesis import strategies as st

from shardline.engine.tokenization.stop_sequences import StopSequences

few_letters = st.text(alphabet="ab\n", max_size=30)
stops = st.lists(st.text(alphabet="ab\n", min_size=1, max_size=4), max_size=3)


def feed_all(stop: list[str], chunks: list[str]) -> tuple[str, bool]:
    machine = StopSequences(stop)
    shown = "".join(machine.feed(chunk) for chunk in chunks)
    return shown + machine.flush(), machine.stopped


@given(few_letters, stops)
def test_text_ends_before_the_first_stop_sequence_however_it_is_cut(text: str, stop: list[str]) -> None:
    shown, stopped = feed_all(stop, list(text))
    assert not any(sequence in shown for sequence in stop)
    assert text.startswith(shown)
    assert stopped == any(sequence in text for sequence in stop)
    if not stopped:
        assert shown == text


@given(few_letters, stops)
def test_what_is_held_back_could_still_become_a_stop_sequence(text: str, stop: list[str]) -> None:
    machine = StopSequences(stop)
    shown = "".join(machine.feed(character) for character in text)
    if not machine.stopped:
        held = text[len(shown) :]
        assert not held or any(sequence.startswith(held) for sequence in stop)


def test_a_stop_sequence_over_three_chunks() -> None:
    assert feed_all(["\n\n"], ["a\n", "", "\nb"]) == ("a", True)


def test_after_the_end_everything_is_dropped() -> None:
    machine = StopSequences(["x"])
    assert machine.feed("ax") == "a"
    assert machine.feed("b") == ""
    assert machine.flush() == ""
