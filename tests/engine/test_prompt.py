"""Prompts: they fit their budget, keep what is nearest to the cursor, and no user's text becomes a signal."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.engine import Request
from shardline.engine.checkpoints.checkpoint import Checkpoint
from shardline.engine.tokenization.infilling import FAMILIES, PREFIX, SUFFIX, Family, detect
from shardline.engine.tokenization.prompt import Prompt, build
from shardline.engine.tokenization.tokenizer import Codec
from tests import codellama, tiny
from tests.engine.codecs import FIM, PLAIN, STARCODER, codec_of


def prompt(prefix: str, suffix: str = "", codec: Codec = PLAIN, budget: int = 200, **wish: object) -> Prompt:
    request = Request(document="d", prefix=prefix, suffix=suffix, **{"healing": False, **wish})  # type: ignore[arg-type]
    return build(request, codec, budget=budget)


@given(
    st.text(max_size=300), st.text(max_size=100), st.integers(16, 200), st.sampled_from(["auto", "psm", "spm", "off"])
)
def test_a_prompt_fits_and_keeps_what_is_nearest_to_the_cursor(
    prefix: str, suffix: str, budget: int, infilling: str
) -> None:
    made = prompt(prefix, suffix, STARCODER, budget, infilling=infilling)
    assert 0 < len(made.ids) <= budget
    whole = STARCODER.encode(prefix).ids
    kept = whole[len(whole) - made.prefix_tokens :]
    follows = STARCODER.encode_inner(suffix)[: made.suffix_tokens]
    before, between, middle = (STARCODER.tokenizer.token_to_id(name) for name in FIM)
    expected = {
        "prefix": kept or made.ids,
        "psm": [before, *kept, between, *follows, middle],
        "spm": [before, between, *follows, middle, *kept],
    }
    assert made.ids == expected[made.format]


def test_the_edge_moves_in_coarse_steps() -> None:
    text = "x = value\n" * 100
    edges = []
    for end in range(500, len(text)):
        made = prompt(text[:end], budget=100)
        edges.append(len(PLAIN.encode(text[:end]).ids) - made.prefix_tokens)
    moves = sum(before != after for before, after in pairwise(edges))
    assert len(set(edges)) > 3
    assert moves < len(edges) / 20


def test_with_the_suffix_first_typing_only_appends() -> None:
    text = "def f(x):\n    return x\n"
    earlier, later = (prompt(text[:end], "\nprint(f(1))\n", STARCODER, infilling="spm").ids for end in (10, len(text)))
    shared = sum(1 for a, b in zip(earlier, later, strict=False) if a == b)
    assert shared >= len(earlier) - 1


@pytest.mark.parametrize("special", [True, False])
def test_names_of_signals_in_users_code_stay_text(special: bool) -> None:
    codec = codec_of(*FIM, special=special)
    code = 'print("<fim_prefix> and <fim_suffix>", "<|end|>")\n'
    encoded = codec.encode(code)
    assert codec.signals.isdisjoint(encoded.ids)
    assert codec.signals.isdisjoint(codec.encode_inner(code))
    assert codec.decode(encoded.ids) == codec.decode(codec.encode_inner(code)) == code
    assert [code[begin:end] for begin, end in encoded.offsets] == [codec.decode([token]) for token in encoded.ids]


def test_a_model_without_infilling_gets_the_prefix_only() -> None:
    made = prompt("a = ", "\nprint(a)\n", infilling="psm")
    assert (made.format, made.suffix_tokens) == ("prefix", 0)


def test_nothing_after_the_cursor_needs_no_infilling() -> None:
    assert prompt("a = ", "\n\n", STARCODER).format == "prefix"


def test_an_empty_document_still_has_a_prompt() -> None:
    assert len(prompt("").ids) == 1


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_family_is_known_by_its_own_tokens(family: Family) -> None:
    for name, template in family.templates.items():
        sentinels = [part for part in template if part not in (PREFIX, SUFFIX)]
        others = {part for shape in family.templates.values() for part in shape} - {PREFIX, SUFFIX, *sentinels}
        codec = codec_of(*sentinels, *sorted(others))
        made = prompt("ab", "cd", codec, infilling=name)
        assert made.format == name
        order = [part for part in template if part in (PREFIX, SUFFIX)]
        texts = {PREFIX: "ab", SUFFIX: "cd"}
        assert [texts[part] for part in order] == [piece for piece in _between(made.ids, codec) if piece]
        assert detect(codec_of(*sentinels[1:]).tokenizer, tiny.config().to_dict()) is None


def _between(ids: list[int], codec: Codec) -> list[str]:
    pieces: list[list[int]] = [[]]
    for token in ids:
        if token in codec.signals:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return [codec.decode(piece) for piece in pieces]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """CodeLlama's own codec; its tests are skipped only where npm's registry does not answer."""
    try:
        folder = codellama.make(tmp_path_factory.mktemp("codellama"))
    except OSError as error:
        pytest.skip(str(error))
    return Codec.of(Checkpoint(name="codellama", folder=folder))


GOLDEN_PREFIX = [
    822,
    3349,
    29918,
    5464,
    29918,
    294,
    18869,
    29898,
    29879,
    29901,
    851,
    29897,
    1599,
    851,
    29901,
    13,
    1678,
    9995,
    29871,
]
GOLDEN_SUFFIX = [13, 1678, 736, 1121, 13]
"""What the authors' own code makes of their first example (ids as reported in llama.cpp issue 3503)."""


@pytest.mark.parametrize(
    ("infilling", "ids"),
    [
        ("psm", [1, 32007, *GOLDEN_PREFIX, 32008, *GOLDEN_SUFFIX, 32009]),
        ("spm", [1, 32007, 32008, *GOLDEN_SUFFIX, 32009, *GOLDEN_PREFIX]),
        ("off", [1, *GOLDEN_PREFIX]),
    ],
)
def test_codellama_prompts_have_the_golden_ids(llama: Codec, infilling: str, ids: list[int]) -> None:
    prefix, suffix = 'def remove_non_ascii(s: str) -> str:\n    """ ', "\n    return result\n"
    assert prompt(prefix, suffix, llama, infilling=infilling).ids == ids


def test_codellama_reads_no_sentinel_out_of_users_code(llama: Codec) -> None:
    code = "a <SUF> b <PRE> c <MID> <EOT> </s> <s>"
    for ids in (llama.encode(code).ids, llama.encode_inner(code)):
        assert llama.signals.isdisjoint(ids)
        assert llama.decode(ids).strip() == code


def test_codellama_ends_at_its_own_tokens(llama: Codec) -> None:
    assert {2, 32007, 32008, 32009, 32010} <= llama.signals


@given(st.text(max_size=60))
def test_a_damaged_or_odd_text_never_breaks_a_codec(text: str) -> None:
    for codec in (PLAIN, STARCODER):
        assert codec.decode(codec.encode(text).ids) == text
