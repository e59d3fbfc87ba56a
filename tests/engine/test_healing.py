"""Token healing: what was cut off is written again, letter by letter, and only then the model is free."""

import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import Metaspace
from tokenizers.models import BPE, WordLevel

from shardline.engine import Request
from shardline.engine.generation.healing import HealingSampler
from shardline.engine.generation.sampling import Sampler
from shardline.engine.local.opener import open_runner
from shardline.engine.local.runner import Runner
from shardline.engine.tokenization.prompt import MAX_TOKENS, cut_back
from shardline.engine.tokenization.token_bytes import Vocabulary
from shardline.engine.tokenization.tokenizer import Encoded
from shardline.settings import ModelSettings
from tests.engine.codecs import PLAIN, STARCODER

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
    assert len(encoded.ids) - cut_back(text, encoded, VOCABULARY) <= MAX_TOKENS


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


def say(runner: Runner, prefix: str, **options: object) -> str:
    request = Request(document="d", prefix=prefix, **{"max_tokens": 16, **options})  # type: ignore[arg-type]
    return "".join(chunk.text for chunk in runner.complete(request, threading.Event()))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.data())
def test_where_the_model_agrees_with_what_was_typed_it_says_what_it_would_have_said(
    seed: int, data: st.DataObject
) -> None:
    noise = torch.Generator().manual_seed(seed)
    spelled = [VOCABULARY.spelled(token) for token in range(PLAIN.tokenizer.get_vocab_size())]
    letters = torch.tensor([bool(text) and text.isascii() for text in spelled])
    logits = [torch.randn(len(spelled), generator=noise).where(letters, -torch.inf) for _ in range(6)]
    free = [Sampler()(row)[0] for row in logits]
    said = b"".join(spelled[token] for token in free).decode()
    sampler = HealingSampler(Sampler(), VOCABULARY, said[: data.draw(st.integers(0, len(said)))])
    assert [sampler(row)[0] for row in logits] == free


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.text(max_size=20))
def test_any_text_is_completed(runner: Runner, prefix: str, suffix: str) -> None:
    request = Request(document="d", prefix=prefix, suffix=suffix, max_tokens=3)
    assert list(runner.complete(request, threading.Event()))[-1].finish_reason is not None


WORDS = Tokenizer(WordLevel({"[UNK]": 0, "def": 1, "x": 2}, unk_token="[UNK]"))
PIECES = Tokenizer(BPE({"▁": 0, "a": 1, "▁a": 2, "<unk>": 3}, [("▁", "a")], unk_token="<unk>"))
PIECES.decoder = Metaspace()


@pytest.mark.parametrize("tokenizer", [WORDS, PIECES])
@given(text=st.text(alphabet="a ßx漢", max_size=8))
def test_a_tokenizer_without_single_bytes_heals_what_it_can_spell(tokenizer: Tokenizer, text: str) -> None:
    vocabulary = Vocabulary(tokenizer, excluded=())
    encoding = tokenizer.encode(text, add_special_tokens=False)
    encoded = Encoded(encoding.ids, lambda: encoding.offsets)
    keep = cut_back(text, encoded, vocabulary)
    removed = text[encoded.offsets[keep][0] :] if keep < len(encoded.ids) else ""
    sampler = HealingSampler(Sampler(), vocabulary, removed)
    written = b"".join(vocabulary.spelled(sampler(torch.zeros(4))[0]) for _ in range(len(removed) + 1))
    assert written.startswith(removed.encode())


def test_a_stop_sequence_in_what_was_removed_ends_nothing(runner: Runner) -> None:
    assert say(runner, "if x:\n", stop=("\n\n\n",)) != ""


def test_without_healing_the_prompt_is_taken_as_it_is(runner: Runner) -> None:
    request = Request(document="d", prefix="for index in enumer", healing=False, max_tokens=1)
    usage = list(runner.complete(request, threading.Event()))[-1].usage
    assert usage.prompt_tokens == len(PLAIN.encode(request.prefix).ids)
