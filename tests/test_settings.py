"""Settings: what is right is taken, what is wrong is told in words and changes nothing, and each is written once."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.errors import BadValueError, SettingsError
from shardline.setting_values import parse_size
from shardline.settings import (
    ModelSettings,
    Settings,
    all_settings,
    as_values,
    assignment,
    merge,
    merge_strictly,
    read_file,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def test_values_are_laid_over_those_before() -> None:
    base, _ = merge(Settings(), {"model": {"name": "gpt2"}, "generation": {"maxTokens": 5}})
    result, problems = merge(base, {"generation": {"temperature": 1}})
    assert problems == []
    assert result.model.name == "gpt2"
    assert (result.generation.max_tokens, result.generation.temperature) == (5, 1.0)


@pytest.mark.parametrize(
    ("mode", "address", "model"),
    [
        ("auto", "", "gpt2"),
        ("auto", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("remote", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("shared", "http://127.0.0.1:8000", "gpt2"),
        ("inprocess", "http://127.0.0.1:8000", "gpt2"),
    ],
)
def test_the_model_that_is_told_is_the_one_that_completes(mode: str, address: str, model: str) -> None:
    values = {"model": {"name": "gpt2"}, "engine": {"mode": mode}, "remote": {"baseUrl": address}}
    settings, _ = merge(Settings(), values)
    assert settings.model_name == model
    assert settings.is_remote == (model == address)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"generation": {"maxTokens": "5"}}, "generation.maxTokens must be a whole number"),
        ({"generation": {"maxTokens": 5.5}}, "generation.maxTokens must be a whole number"),
        ({"generation": {"maxTokens": True}}, "generation.maxTokens must be a whole number"),
        ({"generation": {"maxTokens": 0}}, "from 1 to 4096, not 0; 64 holds"),
        ({"generation": {"topP": 1.5}}, "generation.topP must be a number from 0 to 1"),
        ({"generation": {"stop": "x"}}, "generation.stop must be a list of texts"),
        ({"generation": {"stop": [""]}}, "generation.stop must be a list of texts that are not empty"),
        ({"model": {"dtype": "fp16"}}, "one of auto, float32, float16, bfloat16, not 'fp16'"),
        ({"model": {"maxMemory": "5GiB"}}, "model.maxMemory must be a map"),
        ({"model": {"maxMemory": {"0": "ten"}}}, "model.maxMemory: 'ten' for 0 is no size; write for example"),
        ({"model": {"maxMemory": {"0": -1}}}, "-1 for 0 is no size"),
        ({"model": {"maxMemory": {"gpu0": "5GiB"}}}, "model.maxMemory: 'gpu0' is no device"),
        ({"model": {"maxMemory": {}}}, "names no device to compute on"),
        (
            {"model": {"deviceMap": "ballanced"}},
            "write auto, balanced, balanced_low_0, sequential, the number of a GPU",
        ),
        ({"model": {"deviceMap": {"lm_head": "gpu"}}}, "model.deviceMap: 'gpu' is no device"),
        ({"model": {"deviceMap": -1}}, "-1 is no device"),
        ({"model": {"deviceMap": "9" * 5000}}, "is no device"),
        ({"model": {"nmae": "x"}}, "There is no setting model.nmae; did you mean model.name?"),
        ({"modle": {}}, "There is no setting modle; did you mean model?"),
        ({"model": "gpt2"}, "model must be a group of settings"),
        ({"model": {"trustRemoteCode": True}}, "Shardline never runs code that comes with a model"),
    ],
)
def test_what_cannot_be_used_is_told_and_the_default_holds(values: dict[str, Any], sentence: str) -> None:
    result, problems = merge(Settings(), values)
    assert result == Settings()
    assert len(problems) == 1
    assert sentence in problems[0]


def test_one_bad_value_does_not_spoil_the_others() -> None:
    result, problems = merge(Settings(), {"generation": {"maxTokens": 7, "topK": -1, "seed": 3}})
    assert len(problems) == 1
    assert (result.generation.max_tokens, result.generation.top_k, result.generation.seed) == (7, 0, 3)


def test_null_means_that_the_user_left_it_alone() -> None:
    base, _ = merge(Settings(), {"model": {"revision": "v1"}})
    assert merge(base, {"model": {"revision": None, "name": None}}) == (base, [])


@given(st.dictionaries(st.sampled_from(["model", "generation", "log", "x"]), json_values, max_size=4))
def test_no_json_whatsoever_breaks_settings(values: dict[str, Any]) -> None:
    result, _ = merge(Settings(), values)
    assert merge(result, as_values(result)) == (result, [])


@given(st.sampled_from(list(all_settings())), json_values)
def test_every_value_of_every_setting_is_taken_or_told(info: Any, value: Any) -> None:
    section, _, name = info.name.partition(".")
    result, problems = merge(Settings(), {section: {name: value}})
    assert len(problems) <= 1
    if problems:
        assert result == Settings()


def test_settings_go_through_json_and_back() -> None:
    wish = Settings(model=ModelSettings(max_memory={0: 5 * 2**30, "cpu": 3}, device_map={"model": 0, "lm_head": "cpu"}))
    assert merge(Settings(), json.loads(json.dumps(as_values(wish)))) == (wish, [])
    assert merge(Settings(), as_values(wish)) == (wish, [])


def test_a_file_holds_the_same_settings(tmp_path: Path) -> None:
    file = tmp_path / "shardline.toml"
    file.write_text('[model]\nname = "gpt2"\nmaxMemory = { 0 = "5GiB" }\n[generation]\nstop = ["\\n\\n"]\n')
    result = read_file(file, Settings())
    assert result.model.max_memory == {0: 5 * 2**30}
    assert result.generation.stop == ("\n\n",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"[model", "not valid TOML"), (b"\xff", "not valid TOML"), (b"[model]\nx = 1", "There is no setting model.x")],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "shardline.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=sentence):
        read_file(file, Settings())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_file(tmp_path / "none.toml", Settings())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("generation.maxTokens=32", {"generation": {"maxTokens": 32}}),
        ("model.name=gpt2", {"model": {"name": "gpt2"}}),
        ('generation.stop=["a", "b"]', {"generation": {"stop": ["a", "b"]}}),
        ('model.maxMemory={0="5GiB"}', {"model": {"maxMemory": {"0": "5GiB"}}}),
        ("model.name=a=b", {"model": {"name": "a=b"}}),
    ],
)
def test_assignments_are_read_as_toml_or_else_as_text(text: str, values: dict[str, Any]) -> None:
    assert assignment(text) == values


@pytest.mark.parametrize("text", ["", "x", "x=1", ".a=1", "a.=1"])
def test_an_assignment_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="must look like"):
        merge_strictly(Settings(), assignment(text), "--set")


def test_every_setting_has_a_sentence_and_its_default_is_valid() -> None:
    for info in all_settings():
        assert info.sentence.endswith(".")
        section, _, name = info.name.partition(".")
        default = list(info.default) if isinstance(info.default, tuple) else info.default
        assert merge(Settings(), {section: {name: default}}) == (Settings(), [])


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().model.name = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("10GiB", 10 * 2**30),
        ("10gib", 10 * 2**30),
        ("1.5 MiB", 3 * 2**19),
        ("10GB", 10**10),
        ("10gb", 10**10),
        ("10G", 10**10),
        ("7KB", 7000),
        ("512", 512),
        (512, 512),
    ],
)
def test_sizes_are_read_as_hugging_face_writes_them(written: str | int, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written", ["ten", "", "10 apples", "-1GiB", "1e9", "nan", "10iB GiB", "10i", "9" * 400, 10**400, True]
)
def test_what_is_no_size_is_refused(written: Any) -> None:
    with pytest.raises(BadValueError, match="is no size"):
        parse_size(written)


@given(st.integers(min_value=0, max_value=2**50))
def test_equal_limits_are_equal_settings_however_they_are_written(size: int) -> None:
    written = ({"0": size, "cpu": "1GiB"}, {"cpu": 2**30, "cuda:0": str(size)})
    one, other = (merge(Settings(), {"model": {"maxMemory": limits}}) for limits in written)
    assert one == other
    assert list(one[0].model.max_memory or ()) == [0, "cpu"]
