"""Emacs with eglot and editor-config/emacs.el: what `completion-at-point` inserts, and what is told about it."""

import subprocess
from pathlib import Path

import pytest

from tests.editors.cases import CASES
from tests.editors.emacs import GUARD_SECONDS, YASNIPPET
from tests.editors.home import Home

SESSION = Path(__file__).with_name("session.el")


@pytest.mark.parametrize("also", [(), YASNIPPET], ids=["plain", "yasnippet"])
def test_completion_at_point_inserts_the_suggestion(also: tuple[str, ...], tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.configure("emacs.el", ".emacs.d/init.el")
    arguments = [part for case in CASES for part in (str(home.write(case)), str(case.line), case.typed)]
    page = tmp_path / "page.md"
    init = str(home.folder / ".emacs.d" / "init.el")
    command = ["emacs", "-q", "--batch", "-l", init, *also, "-l", str(SESSION), str(page), *arguments]
    done = subprocess.run(
        command, env=home.environment, capture_output=True, text=True, timeout=GUARD_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    for case in CASES:
        home.expect_accepted(case)
    told = page.read_text(encoding="utf-8")
    assert told.startswith("# What became of the last requests\n")
    assert "| pop-up | generated |" in told
