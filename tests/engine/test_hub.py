"""Models by name: the real hub client against a hub on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.hub_peer import serving

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys
from shardline.engine.checkpoints import checkpoint
from shardline.errors import ShardlineError
from shardline.settings import ModelSettings
told = []
try:
    found = checkpoint.find(ModelSettings(**json.loads(sys.argv[1])), told.append, weights=sys.argv[2] == "weights")
    files = sorted(file.name for file in found.folder.iterdir())
    print(json.dumps({"files": files, "told": [[progress.done, progress.total, progress.unit] for progress in told]}))
except ShardlineError as error:
    print(json.dumps({"error": str(error)}))
"""


def find(endpoint: str, home: Path, weights: str = "weights", **settings: str) -> dict[str, object]:
    """Return what a new process finds; the hub's address is read when its client is imported."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(settings), weights],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_a_model_is_fetched_by_name_once_and_then_found_without_the_hub(tiny_folder: Path, tmp_path: Path) -> None:
    with serving({"someone/tiny": tiny_folder}) as endpoint:
        fetched = find(endpoint, tmp_path, name="someone/tiny")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(fetched["files"])  # type: ignore[call-overload]
    again = find(endpoint, tmp_path, name="someone/tiny")  # nobody serves there any more
    assert again["files"] == fetched["files"]


def test_how_many_bytes_there_are_is_known_from_the_first_to_the_last(tiny_folder: Path, tmp_path: Path) -> None:
    with serving({"someone/tiny": tiny_folder}) as endpoint:
        told: Any = find(endpoint, tmp_path, name="someone/tiny")["told"]
    done, totals, units = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert set(totals) == {done[-1]} == {sum(file.stat().st_size for file in tiny_folder.iterdir())}
    assert set(units) == {"bytes"}


def test_a_plan_fetches_no_weights(tiny_folder: Path, tmp_path: Path) -> None:
    with serving({"someone/tiny": tiny_folder}) as endpoint:
        outline = find(endpoint, tmp_path, weights="outline", name="someone/tiny")
        assert "config.json" in outline["files"]  # type: ignore[operator]
        assert "model.safetensors" not in outline["files"]  # type: ignore[operator]
        whole = find(endpoint, tmp_path, name="someone/tiny")
        assert "model.safetensors" in whole["files"]  # type: ignore[operator]


def test_what_is_wrong_is_said_in_words(tiny_folder: Path, tmp_path: Path) -> None:
    pickles = tmp_path / "pickles"
    pickles.mkdir()
    (pickles / "config.json").write_text("{}")
    (pickles / "pytorch_model.bin").write_bytes(b"\x80")
    with serving({"someone/tiny": tiny_folder, "someone/pickles": pickles}) as endpoint:
        cases = {
            "no/such-model": "there is no model 'no/such-model'",
            "someone/pickles": "only as pickle (pytorch_model.bin)",
            "someone/tiny/none.gguf": "there is no file",
        }
        for name, sentence in cases.items():
            assert sentence in str(find(endpoint, tmp_path / "home", name=name)["error"])
        revision = find(endpoint, tmp_path / "home", name="someone/tiny", revision="v9")["error"]
        assert "model.revision" in str(revision) or "no model" in str(revision)


def test_an_unreachable_hub_is_said_in_words(tmp_path: Path) -> None:
    answer = find("http://127.0.0.1:9", tmp_path, name="someone/tiny")
    assert "hub cannot be reached" in str(answer["error"])


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "~/nothing-here.gguf"])
def test_a_path_that_does_not_exist_never_asks_the_hub(tmp_path: Path, name: str) -> None:
    answer = find("http://127.0.0.1:9", tmp_path, name=name)
    assert answer["error"] == f"model.name: there is no file or folder {Path(name).expanduser().absolute()}."
