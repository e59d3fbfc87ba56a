"""Emacs with lsp-mode and editor-config/lsp-mode.el: what company inserts."""

import subprocess
from pathlib import Path

import pytest

from tests.editors.cases import CASES
from tests.editors.emacs import GUARD_SECONDS, YASNIPPET
from tests.editors.home import Home

PACKAGES = ("--eval", "(package-activate-all)")
"""What Emacs does by itself where it is not a batch."""
SESSION = Path(__file__).with_name("lsp_mode.el")


@pytest.mark.parametrize("also", [(), YASNIPPET], ids=["plain", "yasnippet"])
def test_company_inserts_the_suggestion(also: tuple[str, ...], tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.configure("lsp-mode.el", ".emacs.d/init.el")
    arguments = [part for case in CASES for part in (str(home.write(case)), str(case.line), case.typed)]
    init = str(home.folder / ".emacs.d" / "init.el")
    command = [
        "emacs",
        "-q",
        "--batch",
        *PACKAGES,
        *also,
        "-l",
        init,
        "-l",
        str(SESSION),
        str(home.project),
        *arguments,
    ]
    done = subprocess.run(
        command, env=home.environment, capture_output=True, text=True, timeout=GUARD_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    for case in CASES:
        home.expect_accepted(case)
