"""A folder that somebody else wrote: nothing in it runs because a command is started there."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import shardline
from shardline.engine.checkpoints.embedded_model import WHEEL
from shardline.settings import EMBEDDED_MODEL
from tests.lsp.clients import started

pytestmark = pytest.mark.slow

NAMES = ("pip", "lsprotocol", "pygls", "torch", "transformers", "rich", "httpx", "multiprocessing", "sitecustomize")
STARTERS = (
    "subprocess.",
    "asyncio.create_subprocess_",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.popen",
)
CONSOLE_SCRIPT = "import sys\nfrom shardline.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
NO_INDEX = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Return the file that tells which of the folder's modules have run."""
    return tmp_path / "ran.txt"


@pytest.fixture
def folder(tmp_path: Path, marker: Path) -> Path:
    """Return a folder with modules that are named as ours and Python's own."""
    strange = tmp_path / "strange"
    strange.mkdir()
    for name in NAMES:
        (strange / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write({name!r})\n")
    (strange / "typed.py").write_text("def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n" * 8)
    return strange


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    """Return the command as it is installed."""
    file = tmp_path / "bin" / "shardline"
    file.parent.mkdir()
    file.write_text(CONSOLE_SCRIPT)
    return [sys.executable, str(file)]


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def ran(marker: Path) -> str:
    return marker.read_text() if marker.exists() else ""


@pytest.mark.parametrize(
    "command",
    [
        ("demo",),
        ("replay", "typed.py", "--keystrokes", "1", "--speed", "100"),
        ("bench", "--clients", "2", "--repeats", "1"),
        ("complete", "typed.py:2:5"),
        ("doctor",),
    ],
    ids=lambda command: command[0],
)
def test_no_command_runs_what_lies_where_it_is_started(
    command: tuple[str, ...], script: list[str], folder: Path, marker: Path, tiny_folder: Path, own_runtime: None
) -> None:
    done = run([*script, *command, "--model", str(tiny_folder)], folder)
    assert ran(marker) == ""
    assert "Traceback" not in done.stderr


def test_as_a_module_it_imports_nothing_of_its_own_from_there(folder: Path, marker: Path, tiny_folder: Path) -> None:
    (folder / "sitecustomize.py").unlink()  # which Python itself runs, before us
    done = run([sys.executable, "-m", "shardline", "plan", "--model", str(tiny_folder)], folder)
    assert ran(marker) == ""
    assert "layers" in done.stdout


async def test_the_language_server_fetches_the_embedded_model_with_our_pip(
    folder: Path, marker: Path, script: list[str], own_cache: Path, monkeypatch: pytest.MonkeyPatch, own_runtime: None
) -> None:
    monkeypatch.chdir(folder)
    for name, value in NO_INDEX.items():
        monkeypatch.setenv(name, value)
    async with started(script, engine={"mode": "inprocess"}, model={"name": EMBEDDED_MODEL}) as client:
        failed = await client.until_settled()
    assert ran(marker) == ""
    assert WHEEL in failed.message


def test_a_compiler_works_in_a_folder_of_ours(folder: Path, tmp_path: Path, own_cache: Path, own_runtime: None) -> None:
    told = tmp_path / "told"
    compiler = tmp_path / "compiler"
    compiler.write_text(f"#!/bin/sh\npwd > '{told}'\nls -A >> '{told}'\nexit 1\n")
    compiler.chmod(0o755)
    code = f"from shardline.engine.models.llama.native.build import build; build({str(compiler)!r})"
    run([sys.executable, "-P", "-c", code], folder)
    where, *files = told.read_text().splitlines()
    assert files == []
    assert Path(where) != folder
    assert Path(where).stat().st_mode & 0o777 == 0o700


def test_a_command_of_the_users_own_runs_where_the_user_is(folder: Path, script: list[str], tmp_path: Path) -> None:
    told = tmp_path / "told"
    (folder / "server.py").write_text(
        f"import os\nopen({str(told)!r}, 'w').write(os.getcwd() + os.environ.get('PYTHONSAFEPATH', ''))\n"
    )
    (folder / "sitecustomize.py").unlink()
    run([*script, "replay", "typed.py", "--server", f"{sys.executable} server.py"], folder)
    assert told.read_text() == str(folder)


def test_a_folder_that_others_could_write_to_is_closed_and_emptied_before_work(
    folder: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    work = tmp_path / "runtime" / "shardline" / "work"
    work.mkdir(parents=True)
    work.parent.parent.chmod(0o700)
    (work / "planted.py").write_text("raise SystemExit(1)")
    work.chmod(0o777)
    test_a_compiler_works_in_a_folder_of_ours(folder, tmp_path, own_cache, None)


def test_a_picture_is_drawn_by_no_settings_from_there_and_a_name_is_no_formula(folder: Path, tmp_path: Path) -> None:
    (folder / "matplotlibrc").write_text("text.usetex: True\n")
    code = "from pathlib import Path; from shardline.measure.plot import bars\n"
    code += f"bars(Path({str(tmp_path / 'a.png')!r}), title='a$\\\\b$', unit='', groups=['$^$'], series={{'$_$': [1]}})"
    done = run([sys.executable, "-P", "-c", code], folder)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").stat().st_size


@pytest.mark.parametrize("name", ["./here", "../strange/here", "here.gguf"])
def test_a_relative_path_of_the_command_line_is_the_users(
    name: str, script: list[str], folder: Path, tiny_folder: Path, own_runtime: None
) -> None:
    (folder / "here").symlink_to(tiny_folder)
    (folder / "here.gguf").write_bytes(b"no GGUF")
    done = run([*script, "replay", "typed.py", "--keystrokes", "1", "--speed", "100", "--model", name], folder)
    said = done.stdout.replace("\n", "")
    assert ("! " in said) == name.endswith(".gguf")
    assert "there is no" not in said


def test_every_child_is_started_in_surroundings_of_ours() -> None:
    package = Path(shardline.__file__).parent
    for file in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "subprocess"), file
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(STARTERS):
                spread = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg is None]
                assert any("surroundings" in each for each in spread), f"{file}:{node.lineno}"
