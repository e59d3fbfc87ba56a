"""A name on the hub stays one, whatever lies in the folder where the server was started; a path is written as one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shardline.engine.shared import registry
from shardline.settings import EMBEDDED_MODEL, ModelSettings
from tests import hub_cache
from tests.engine.gguf_files import write_gguf
from tests.remote.remotes import Peer, opened, said

pytestmark = pytest.mark.slow


def plan(model: list[str], *, cwd: Path, environment: Mapping[str, str]) -> Any:
    """Return what `shardline plan` prints in the folder `cwd`: a plan, or why there is none."""
    command = [sys.executable, "-P", "-m", "shardline", "plan", "--json", *model]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def layers(planned: Any) -> int:
    return sum(share["layers"] for share in planned["devices"])


@pytest.fixture
def project(tmp_path: Path, tiny_folder: Path) -> Path:
    """Return a stranger's project, with folders and a file named as models on the hub are."""
    folder = tmp_path / "project"
    for name in ("gpt2", EMBEDDED_MODEL, "someone/models"):
        shutil.copytree(tiny_folder, folder / name)
    write_gguf(tiny_folder, folder / "someone" / "models" / "tiny.gguf")
    return folder


@pytest.fixture
def environment(tmp_path: Path, tiny_folder: Path) -> dict[str, str]:
    """Where the hub's cache has models of other depths by the same names."""
    config = json.loads((tiny_folder / "config.json").read_text())
    for depth, name in ((5, "gpt2"), (6, EMBEDDED_MODEL)):
        files = {"config.json": {**config, "num_hidden_layers": depth}}
        found = hub_cache.put(tmp_path / "hub", name, files)
    return {**found, "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.mark.parametrize(("name", "depth"), [("gpt2", 5), (EMBEDDED_MODEL, 6)])
def test_a_folder_of_the_project_never_replaces_a_model_of_the_hub(
    project: Path, environment: dict[str, str], name: str, depth: int
) -> None:
    assert layers(plan(["--model", name], cwd=project, environment=environment)) == depth
    assert layers(plan([f"--set=model.name={name}"], cwd=project, environment=environment)) == depth
    assert layers(plan(["--model", f"./{name}"], cwd=project, environment=environment)) == 4


@pytest.mark.parametrize("name", ["someone/models", "someone/models/tiny.gguf"])
def test_how_to_write_a_path_is_said_where_a_name_leads_nowhere(
    project: Path, environment: dict[str, str], name: str
) -> None:
    said = plan(["--model", name], cwd=project, environment=environment)
    assert said.endswith(f"write ./{name}.\n")
    assert layers(plan(["--model", f"./{name}"], cwd=project, environment=environment)) == 4


def test_a_gguf_file_beside_the_command_line_needs_no_more_than_its_name(
    project: Path, environment: dict[str, str]
) -> None:
    beside = project / "someone" / "models"
    for model in (["--model", "tiny.gguf"], ["--set=model.name=tiny.gguf"]):
        assert layers(plan(model, cwd=beside, environment=environment)) == 4
    assert "no model" in plan(["--model", "tiny.gguf"], cwd=project, environment=environment)


@pytest.mark.parametrize(
    "name", ["x" * 5000, "./" + "x" * 5000, "~nobody-of-this-name/x", "C:\\x", " ", "a//b", "\udcff", "./\udcff"]
)
def test_a_name_that_nothing_can_have_is_refused_in_words(
    project: Path, environment: dict[str, str], name: str
) -> None:
    assert "model.name: " in plan([f"--model={name}"], cwd=project, environment=environment)


def test_engines_are_told_apart_by_where_a_path_leads(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    for name in ("gpt2", EMBEDDED_MODEL, "tiny.gguf"):
        assert registry.absolute(ModelSettings(name=name, draft=name)) == ModelSettings(name=name, draft=name)
    here, draft = registry.absolute(ModelSettings(name="./gpt2", draft="../x")), str(tmp_path / "x")
    assert (here.name, here.draft) == (str(project / "gpt2"), draft)


@pytest.mark.parametrize("name", ["./models", "../gpt2"])
async def test_no_path_that_a_server_names_is_opened(
    project: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(project / "someone")
    peer = Peer("vllm", tmp_path / "peer", tiny_folder / "tokenizer.json", model=name)
    await peer.start()
    try:
        async with opened(peer.url) as engine:
            assert await said(engine, "a = say:b") == "b"
    finally:
        await peer.kill()
    assert isinstance(peer.bodies()[-1]["prompt"], str)  # token ids, had the tokenizer there been read
