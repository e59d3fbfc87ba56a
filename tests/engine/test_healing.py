"""Token healing: what was cut off is written again, letter by letter, and only then the model is free."""

import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shardline.engine import Request
from shardline.engine.healing import MOST_TOKENS, HealingSampler, cut_back
from shardline.engine.runner import Runner, open_runner
from shardline.engine.sampling import Sampler
from shardline.settings import ModelSettings
from tests.engine.test_prompt import PLAIN, STARCODER

VOCABULARY = PLAIN.vocabulary


def cut(text: str) -> str:
    encoded = PLAIN.encode(text)
    keep = cut_back(text, encoded, VOCABULARY)
    return text[encoded.offsets[keep][0] :] if keep < len(encoded.ids) else ""


@pytest.mark.parametrize(
    ("text", "removed"),
    [
        ("return a + b", " b"),
        ("for index, name in enumer", " enumer"),
        ("x = ", " "),
        ("x =", " ="),
        ("print(", "("),
        ("", ""),
    ],
)
def test_the_word_at_the_end_is_cut_off_or_else_the_last_token(text: str, removed: str) -> None:
    assert cut(text) == removed


@given(st.text(max_size=60))
def test_what_is_cut_off_is_the_end_of_the_text_and_short(text: str) -> None:
    removed = cut(text)
    assert text.endswith(removed)
    encoded = PLAIN.encode(text)
    assert len(encoded.ids) - cut_back(text, encoded, VOCABULARY) <= MOST_TOKENS


@given(st.binary(min_size=1, max_size=6))
def test_tokens_that_agree_are_found_and_no_others(text: bytes) -> None:
    found = set(VOCABULARY.consistent(text).tolist())
    for token in range(400):
        spelled = VOCABULARY.spelled(token)
        agrees = bool(spelled) and (spelled.startswith(text) or text.startswith(spelled))
        assert (token in found) == agrees


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=12), st.integers(0, 1000), st.sampled_from([0.0, 1.0, 5.0]))
def test_whatever_the_model_wants_what_was_removed_is_written_first(removed: str, seed: int, heat: float) -> None:
    noise = torch.Generator().manual_seed(seed)
    sampler = HealingSampler(Sampler(temperature=heat, seed=seed), VOCABULARY, removed)
    written = b""
    for _ in range(len(removed.encode()) + 1):
        written += VOCABULARY.spelled(sampler(torch.randn(400, generator=noise))[0])
    assert written.startswith(removed.encode())


def test_signals_are_never_part_of_it() -> None:
    assert STARCODER.signals.isdisjoint(STARCODER.vocabulary.consistent(b"<").tolist())


@pytest.fixture(scope="module")
def runner(tiny_folder: Path) -> Runner:
    return open_runner(ModelSettings(name=str(tiny_folder), context_tokens=256), lambda _: None)


def say(runner: Runner, prefix: str, **wish: object) -> str:
    request = Request(document="d", prefix=prefix, **{"max_tokens": 16, **wish})  # type: ignore[arg-type]
    return "".join(chunk.text for chunk in runner.complete(request, threading.Event()))


@pytest.mark.parametrize("prefix", ["def add(a, b):\n    retu", "x = ", "    ", "é漢", "for i in "])
@pytest.mark.parametrize("wish", [{}, {"temperature": 1.0, "seed": 3}])
def test_document_and_suggestion_together_are_what_the_model_wrote(
    runner: Runner, prefix: str, wish: dict[str, object]
) -> None:
    encoded = PLAIN.encode(prefix)
    keep = cut_back(prefix, encoded, VOCABULARY)
    start = prefix[: encoded.offsets[keep][0]] if keep < len(encoded.ids) else prefix
    healed = prefix + say(runner, prefix, **wish)
    assert healed.startswith(start)
    assert healed == prefix + say(runner, prefix, **wish)


def test_a_stop_sequence_in_what_was_removed_ends_nothing(runner: Runner) -> None:
    assert say(runner, "if x:\n", stop=("\n\n\n",)) != ""


def test_without_healing_the_prompt_is_taken_as_it_is(runner: Runner) -> None:
    request = Request(document="d", prefix="for index in enumer", healing=False, max_tokens=1)
    usage = list(runner.complete(request, threading.Event()))[-1].usage
    assert usage.prompt_tokens == len(PLAIN.encode(request.prefix).ids)
