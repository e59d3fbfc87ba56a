"""Identity of engines, and running engines against leftovers of dead ones."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shardline.engine.shared import registry
from shardline.engine.shared.registry import Entry
from shardline.errors import EngineError
from shardline.settings import ModelSettings, Settings, merge_strictly

SETTINGS = ModelSettings(name="someone/model")
OTHERS: dict[str, Any] = {
    "name": "someone/other",
    "revision": "1",
    "dtype": "float32",
    "quantization": "int4",
    "engine": "llama",
    "draft": "someone/small",
    "device_map": "balanced",
    "max_memory": {"cpu": "1GiB"},
    "offload_folder": "folder",
    "context_tokens": 512,
}


@contextmanager
def engine() -> Iterator[Entry]:
    with registry.registered(SETTINGS, url="http://127.0.0.1:1", key="key") as entry:
        yield entry


def test_every_setting_of_the_model_makes_another_engine() -> None:
    assert set(OTHERS) == {field.name for field in dataclasses.fields(ModelSettings)}
    names = [registry.identify(dataclasses.replace(SETTINGS, **{name: value})) for name, value in OTHERS.items()]
    assert len({registry.identify(SETTINGS), *names}) == len(OTHERS) + 1


def test_equal_placements_are_one_engine_however_they_are_written() -> None:
    written: list[dict[str, Any]] = [
        {"maxMemory": {"0": "10GiB", "cpu": "30GiB"}, "deviceMap": {"model": 0, "lm_head": "cpu"}},
        {"maxMemory": {"cpu": 30 * 2**30, "cuda:0": "10gib"}, "deviceMap": {"lm_head": "CPU", "model": "0"}},
    ]
    one, other = (merge_strictly(Settings(), {"model": values}, "a test").model for values in written)
    assert one == other
    assert registry.identify(one) == registry.identify(other)


def test_what_a_model_depends_on_besides_makes_another_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = registry.identify(SETTINGS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert registry.identify(SETTINGS) != before


def test_a_model_in_a_folder_is_the_same_wherever_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    relative, whole = ModelSettings(name="./model"), ModelSettings(name=str(tmp_path / "model"))
    assert registry.identify(relative) == registry.identify(whole)
    monkeypatch.chdir("/")
    assert registry.identify(relative) != registry.identify(whole)


def test_an_engine_is_found_while_it_runs() -> None:
    with engine() as entry:
        assert registry.find(entry.id) == entry
        assert registry.all_entries() == [entry]
    assert registry.find(entry.id) is None
    assert registry.all_entries() == []


def test_there_is_one_at_a_time() -> None:
    with engine() as entry, pytest.raises(EngineError), engine():
        pass
    assert registry.all_entries() == []
    assert entry.pid == os.getpid()


@pytest.mark.parametrize("left", [None, "", "{", "[]", '{"id": "x"}'])
def test_what_is_left_of_one_that_has_ended_is_removed(left: str | None, tmp_path: Path) -> None:
    with engine() as entry:
        (file,) = (tmp_path / "runtime").rglob("*.json")
        text = file.read_text() if left is None else left
    file.write_text(text)
    assert registry.find(entry.id) is None
    assert not file.exists()


def test_only_the_user_may_look(tmp_path: Path) -> None:
    with engine():
        (file,) = (tmp_path / "runtime").rglob("*.json")
        assert file.stat().st_mode & 0o077 == 0
        assert file.parent.stat().st_mode & 0o077 == 0


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    with engine():
        (file,) = (tmp_path / "runtime").rglob("*.json")
    file.parent.chmod(0o777)
    with pytest.raises(EngineError, match=r"engine\.mode"):
        registry.find("x")
    file.parent.chmod(0o700)
