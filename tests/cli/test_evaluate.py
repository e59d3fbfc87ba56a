"""The quality benchmark: holes are what they say, the same for the same seed, and its figures add up."""

import json
from pathlib import Path

import pytest

from shardline.completion import Source
from shardline.errors import SettingsError
from shardline.measure.output import Files
from shardline.measure.quality.evaluate import VARIANTS, evaluate
from shardline.measure.quality.holes import Hole, cut
from shardline.measure.quality.scores import Result
from shardline.settings import GenerationSettings, ModelSettings, Settings

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent.parent / "engine"
KINDS = ["inside a word", "after a space", "at the indentation", "at a token border", "whole line", "block"]


@pytest.fixture(scope="module")
def holes() -> list[Hole]:
    return cut(FOLDER, 60, seed=0)


def test_holes_are_of_every_kind_and_the_same_for_the_same_seed(holes: list[Hole]) -> None:
    assert [hole.kind for hole in holes] == KINDS * 10
    assert cut(FOLDER, 60, seed=0) == holes
    assert cut(FOLDER, 60, seed=1) != holes


def test_a_folder_may_be_named_from_where_one_is(holes: list[Hole], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parent)
    assert cut(Path(FOLDER.name), 60, seed=0) == holes


def test_a_hole_and_what_filled_it_make_the_file_again(holes: list[Hole]) -> None:
    originals = {path.as_uri(): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")}
    for hole in holes:
        lines, line = list(hole.source.lines), hole.source.line
        lines[line] = lines[line][: hole.source.column] + hole.expected + lines[line][hole.source.column :]
        assert "".join(lines).rstrip("\n") == originals[hole.source.document].rstrip("\n")


def test_a_hole_lies_where_its_kind_says(holes: list[Hole]) -> None:
    for hole in holes:
        before = hole.source.before
        match hole.kind:
            case "inside a word":
                assert (before[-1] + hole.expected[0]).replace("_", "a").isalnum()
            case "after a space":
                assert before.endswith(" ")
                assert before.strip()
            case "at the indentation":
                assert before
                assert not before.strip()
            case "at a token border":
                assert hole.expected.startswith(" ")
            case "whole line":
                assert before == ""
            case _:
                assert hole.expected.startswith("\n")


def hole_of(expected: str) -> Hole:
    source = Source(document="d", language="py", lines=["x"], line=0, column=1)
    return Hole(kind="block", source=source, expected=expected)


@pytest.mark.parametrize(
    ("said", "wanted", "exact", "first_line"),
    [
        ("a + b", "a + b", True, True),
        ("a + b  ", "a + b", True, True),
        ("\n    a\n    c", "\n    a\n    b", False, True),
        ("", "a", False, False),
    ],
)
def test_what_counts_as_right(said: str, wanted: str, exact: bool, first_line: bool) -> None:
    result = Result(variant="full", hole=hole_of(wanted), text=said, seconds=1.0)
    assert (result.exact, result.first_line) == (exact, first_line)
    assert (result.similarity == 1.0) == exact


@pytest.mark.parametrize(("text", "leaks"), [("a<|im_end|>", True), ("</s>", True), ("a < b | c > d", False)])
def test_special_tokens_are_seen(text: str, leaks: bool) -> None:
    assert Result(variant="full", hole=hole_of("a"), text=text, seconds=1.0).leaks == leaks


def test_copies_of_the_next_line_are_seen() -> None:
    source = Source(document="d", language="python", lines=["    \n", "    b()\n"], line=0, column=4)
    hole = Hole(kind="at the indentation", source=source, expected="a()")
    assert Result(variant="full", hole=hole, text="b()", seconds=1.0).copies
    assert not Result(variant="full", hole=hole, text="c(b())", seconds=1.0).copies


def test_its_figures_are_written_for_each_variant_and_kind(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(
        model=ModelSettings(name=str(tiny_folder), context_tokens=256), generation=GenerationSettings(max_tokens=4)
    )
    file, picture = tmp_path / "figures.json", tmp_path / "figures.png"
    evaluate(FOLDER, settings, holes=12, seed=3, variants=list(VARIANTS), files=Files(json=file, plot=picture))
    figures = json.loads(file.read_text())
    assert (figures["seed"], figures["model"]) == (3, str(tiny_folder))
    assert list(figures["variants"]) == ["naive", "no-healing", "no-trim", "full"]
    for variant in figures["variants"].values():
        assert variant["holes"] == 12
        assert {kind: cell["holes"] for kind, cell in variant["kinds"].items()} == dict.fromkeys(KINDS, 2)
        assert 0 <= variant["edit_similarity"] <= 1
        assert variant["median_ms"] > 0
        assert variant["special_tokens"] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "full" in capsys.readouterr().out


def test_holes_are_cut_into_source_code_where_there_is_any(tmp_path: Path) -> None:
    text = "".join(f"line number {number} of it\n" for number in range(20))
    (tmp_path / "key.pem").write_text(text)
    assert {hole.source.language for hole in cut(tmp_path, 6, seed=0)} == {"pem"}
    (tmp_path / "code.py").write_text(text)
    assert {hole.source.language for hole in cut(tmp_path, 6, seed=0)} == {"python"}


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "binary.py").write_bytes(b"\xff\x00" * 100)
    (tmp_path / "short.py").write_text("x = 1\n")
    return tmp_path


def test_a_folder_without_code_and_a_variant_that_is_none_are_told(empty: Path) -> None:
    with pytest.raises(SettingsError, match="has no source code"):
        evaluate(empty, Settings(), holes=3, seed=0, variants=["full"], files=Files())
    with pytest.raises(SettingsError, match="there is no best"):
        evaluate(empty, Settings(), holes=3, seed=0, variants=["best"], files=Files())
    with pytest.raises(SettingsError, match="is no folder"):
        evaluate(empty / "none", Settings(), holes=3, seed=0, variants=["full"], files=Files())
