"""Long texts are cut before they are encoded, and the prompt is as if they had not been."""

import itertools
import threading
import time
from pathlib import Path

import pytest

from shardline.engine import Request, window
from shardline.engine.tokenization.prompt import build, cut_back, known_ahead
from shardline.engine.tokenization.tokenizer import Codec, Encoded
from tests import tiny

pytestmark = pytest.mark.slow

BASE = Path("no-such-folder")  # nothing is read from it
BUDGET = 100
CODE = "".join(
    f"def function_{number}(a, b):\n    # {number % 7} of them\n\n    return a + b * {number}\n\n\n"
    for number in range(500)
)
FIM = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]
WIDEST = 2 * sum(window.WIDTHS) * BUDGET


class Counting(Codec):
    """Counts the characters that it encodes."""

    def __init__(self) -> None:
        tokenizer = tiny.tokenizer()
        tokenizer.add_special_tokens(FIM)
        tokenizer.encode_special_tokens = True
        super().__init__(tokenizer, tiny.config(vocab_size=403).to_dict(), BASE)
        self.read = 0

    def encode(self, text: str) -> Encoded:
        self.read += len(text)
        return super().encode(text)

    def encode_inner(self, text: str) -> list[int]:
        self.read += len(text)
        return super().encode_inner(text)


def ask(prefix: str, suffix: str = "", **wish: object) -> Request:
    return Request(document="d", prefix=prefix, suffix=suffix, **{"healing": False, **wish})  # type: ignore[arg-type]


@pytest.mark.parametrize("infilling", ["off", "psm", "spm"])
@pytest.mark.parametrize("healing", [False, True])
def test_a_prompt_of_a_long_text_is_that_of_all_its_tokens(infilling: str, healing: bool) -> None:
    codec = Counting()
    for length in range(len(CODE) - 20, len(CODE)):
        prefix = CODE[:length]
        made = build(ask(prefix, CODE, infilling=infilling, healing=healing), codec, budget=BUDGET)
        encoded = codec.encode(prefix)
        whole = encoded.ids[: cut_back(prefix, encoded, codec.vocabulary) if healing else None]
        parts = [whole[len(whole) - made.prefix_tokens :], codec.encode_inner(CODE)[: made.suffix_tokens]]
        text = [token for token in made.ids if token not in codec.signals]
        assert text == [*itertools.chain(*(reversed(parts) if infilling == "spm" else parts))]
        assert made.prefix_tokens > BUDGET // 3


@pytest.mark.parametrize(
    "text",
    [CODE * 10, " " * 10**6, "a" * 10**6, "é🎉" * 10**6, "\n" * 10**6, FIM[0] * 10**5],
    ids=lambda text: text[:3],
)
def test_no_text_is_so_long_that_more_than_a_prompt_of_it_is_encoded(text: str) -> None:
    codec = Counting()
    made = build(ask(text, text, infilling="psm", healing=True), codec, budget=BUDGET)
    assert 0 < len(made.ids) <= BUDGET
    assert codec.read <= 2 * WIDEST
    codec.read = 0
    assert known_ahead(ask("", text), codec, budget=BUDGET)
    assert codec.read <= 2 * WIDEST


def test_of_code_only_little_is_encoded() -> None:
    codec = Counting()
    build(ask(CODE * 10), codec, budget=BUDGET)
    assert codec.read <= 2 * window.WIDTHS[0] * BUDGET


def test_the_beginning_stays_put_while_one_types() -> None:
    """It jumps a few times in as many letters as a prompt holds, so that the KV cache is valid in between."""
    codec = Counting()
    heads = [
        tuple(build(ask(CODE[:length]), codec, budget=BUDGET).ids[:8])
        for length in range(len(CODE) - 4 * BUDGET, len(CODE))
    ]
    assert len(list(itertools.groupby(heads))) < 16


def test_what_no_prompt_can_hold_is_cropped_and_nothing_else() -> None:
    short = ask("a" * 1000, "b" * 1000)
    assert window.crop(short, BUDGET) == short
    cropped = window.crop(ask("x" + "a" * 10**6, "b" * 10**6 + "x"), BUDGET)
    width = window.WIDTHS[-1] * BUDGET
    assert width <= len(cropped.prefix) <= 2 * width
    assert len(cropped.suffix) == width
    assert "x" not in cropped.prefix + cropped.suffix


def test_other_threads_go_on_while_a_text_is_encoded() -> None:
    codec, ended = Counting(), threading.Event()
    text = CODE * 40

    def encode() -> None:
        codec.encode_inner(text)
        ended.set()

    thread = threading.Thread(target=encode)
    times = [time.perf_counter()]
    thread.start()
    while not ended.is_set():
        times.append(time.perf_counter())
    thread.join()
    longest = max(later - earlier for earlier, later in itertools.pairwise(times))
    assert longest < (times[-1] - times[0]) / 2
