"""Helix with editor-config/helix.toml: what the item of its pop-up inserts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.editors import install, terminal
from tests.editors.cases import CASES, LINES, Case
from tests.editors.home import Home
from tests.editors.terminal import Terminal
from tests.editors.waiting import until

LOADED = '"kind":"end"'
"""What Helix notes in its log when the server says that loading has ended."""


@contextmanager
def begun(case: Case, folder: Path) -> Iterator[tuple[Home, Terminal]]:
    """Helix with its cursor at the end of the line of `case`, in insert mode, with a model that is ready."""
    home = Home(folder / "home")
    home.configure("helix.toml", ".config/helix/languages.toml")
    log = folder / "helix.log"
    helix = [str(install.HELIX), "-v", "--log", str(log), f"{home.write(case)}:{case.line}"]
    with terminal.running(folder / "tmux", home.environment, *helix) as window:
        until(lambda: log.exists() and LOADED in log.read_text().replace(" ", ""))
        window.type("A")
        window.until_shown("INS")
        yield home, window


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_pop_up_is_on_the_screen_and_enter_accepts_it(case: Case, tmp_path: Path) -> None:
    with begun(case, tmp_path) as (home, window):
        for end in range(
            1, len(case.typed) + 1
        ):  # of keys that come at once Helix may tell the server in another order
            window.type(case.typed[end - 1])
            window.until_shown(case.typed[:end].rstrip())
        window.press("C-x")
        window.until_shown(case.label)
        window.press("Tab", "Enter")
        window.until_shown(case.suggested.split("\n")[-1].strip())
        window.press("Escape")
        window.until_shown("NOR")
        window.type(":write")
        window.press("Enter")
        home.expect_accepted(case)


def test_a_page_tells_what_became_of_the_last_suggestions(tmp_path: Path) -> None:
    with begun(LINES, tmp_path) as (_, window):
        window.press("C-x")
        window.press("Escape")
        window.until_shown("NOR")
        window.type(":lsp-workspace-command shardline.explain")
        window.press("Enter")
        window.until_shown("It is in ")  # this version opens no document when it is asked to
