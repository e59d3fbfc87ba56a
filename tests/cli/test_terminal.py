"""Text from elsewhere on a terminal: it is seen, and does nothing."""

import ast
import json
import logging
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shardline
from shardline.logs import Formatter
from shardline.terminal import OBEYED, printable
from tests.remote.remotes import GUARD_SECONDS, serving

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-P", "-m", "shardline"]
HOSTILE = "a[/x]b\x1b]0;x\x07\x9b31m\u202e"
RICH = re.compile(r"\x1b\[[\d;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\x1b\[\d+A|\r")
"""What Rich itself tells a terminal: colours, the cursor, and lines that are written anew."""


def on_a_terminal(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run a command that has a terminal; returns its exit code and all that it wrote there but for Rich's own codes."""
    controller, terminal = pty.openpty()
    surroundings = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "300"}
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=surroundings, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        written = b""
        while select.select([controller], [], [], GUARD_SECONDS)[0]:
            try:
                written += os.read(controller, 65536)
            except OSError:  # how Linux tells that nobody has the terminal open any more
                break
        else:
            process.kill()  # it hangs
    os.close(controller)
    return process.returncode, RICH.sub("", written.decode())


def piped(arguments: list[str], folder: Path) -> str:
    return subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def folder(tmp_path: Path, tiny_folder: Path) -> Path:
    """Return a folder with code, and with a model whose name is hostile."""
    (tmp_path / HOSTILE).parent.mkdir()
    (tmp_path / HOSTILE).symlink_to(tiny_folder)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text(
        "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n" * 4
    )
    return tmp_path


@pytest.mark.parametrize(
    ("command", "prefix"),
    [
        ("plan", "./"),
        ("plan --engine vllm", "./"),
        ("layers --depth 1", "./"),
        ("doctor", "./"),
        ("doctor", "/nowhere/"),
        ("settings", "./"),
        ("prompt code/a.py:2:5", "./"),
        ("complete code/a.py:2:5", "./"),
        ("complete code/a.py:2:5", "/nowhere/"),
        ("demo", "./"),
        ("demo", "/nowhere/"),
        ("replay code/a.py --keystrokes 1 --speed 100", "./"),
        ("eval code --holes 1", "./"),
        ("bench --clients 2 --repeats 1", "./"),
    ],
)
def test_no_command_lets_a_models_name_command_the_terminal(
    command: str, prefix: str, folder: Path, own_runtime: None
) -> None:
    code, written = on_a_terminal([*command.split(), "--model", prefix + HOSTILE], folder)
    assert OBEYED.findall(written) == []
    assert "Traceback" not in written
    assert code in (0, 1, 3)


def test_engines_are_listed_and_stopped_by_names_that_are_seen(folder: Path, own_runtime: None) -> None:
    on_a_terminal(["complete", "code/a.py:2:5", "--model", f"./{HOSTILE}"], folder)
    for command in (["engines"], ["engines", "stop"]):
        code, written = on_a_terminal(command, folder)
        assert code == 0
        assert r"a[/x]b\x1b]0;x\x07\x9b31m\u202e" in written
        assert OBEYED.findall(written) == []


async def test_what_a_model_writes_is_seen_on_a_terminal_and_exact_in_a_pipe(tmp_path: Path, tiny_folder: Path) -> None:
    said = "x\x1bcy\x07\x9b31m\u202ez"
    answer = 'data: {"choices": [{"text": ' + json.dumps(said) + ', "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    (tmp_path / "a.py").write_text("value = ")
    async with serving("openai", tmp_path, tiny_folder, raw=answer) as peer:
        remote = ["--set", f"remote.baseUrl={peer.url}", "--set", "remote.kind=openai", "--set", "remote.model=tiny"]
        command = ["complete", "a.py:1:9", *remote]
        _, written = on_a_terminal(command, tmp_path)
        _, as_json = on_a_terminal([*command, "--json"], tmp_path)
        exact = piped(command, tmp_path)
    assert written == printable(said) + "\n"
    assert exact == f"{said}\n"
    assert OBEYED.findall(as_json) == []
    assert json.loads(as_json)["suggestion"] == said


def test_what_a_models_config_says_is_told_printable(tmp_path: Path) -> None:
    config = {"model_type": "gpt2", "n_layer": 1, "n_embd": 64, "n_head": 4, "_attn_implementation": "x\x1b[2J"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    code, written = on_a_terminal(["plan", "--model", "./"], tmp_path)
    assert code == 1
    assert r"x\x1b[2J" in written
    assert OBEYED.findall(written) == []


def test_a_fault_of_ours_is_told_printable() -> None:
    code = "import sys; from shardline.cli import main; from shardline.cli.app import app\n"
    code += "@app.command()\ndef fail(): raise ValueError('\\x1b[2J')\nsys.argv[1:] = ['fail']; main()"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert r"ValueError: \x1b[2J" in done.stderr


@given(st.text())
def test_printable_text_is_obeyed_by_no_terminal_and_keeps_its_lines(text: str) -> None:
    shown = printable(text)
    assert not OBEYED.search(shown)
    assert shown.count("\n") == text.count("\n")
    assert printable(shown) == shown
    if not OBEYED.search(text):
        assert shown == text


def test_a_record_cannot_pass_for_another() -> None:
    forged = "x\n2026-01-01 00:00:00,000 ERROR shardline: forged\x1b[2J\r\u202e"
    record = logging.LogRecord("shardline", logging.WARNING, "", 0, "The server says: %s", (forged,), None)
    first, *rest = Formatter("%(levelname)s %(message)s").format(record).splitlines()
    assert first == "WARNING The server says: x"
    assert rest == [r"    2026-01-01 00:00:00,000 ERROR shardline: forged\x1b[2J\r\u202e"]


def test_only_our_console_writes() -> None:
    package = Path(shardline.__file__).parent
    for file in sorted(package.rglob("*.py")):
        if file.name == "console.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            made: Any = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            from_rich = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich")
            assert not (from_rich and "Console" in names), file
            assert made not in ("Progress", "rich.console.Console") or "activity" in ast.unparse(node), file
