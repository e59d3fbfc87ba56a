"""Neovim and Vim with llama.vim and editor-config/llama-vim.vim, before `shardline serve`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.editors import install, terminal
from tests.editors.cases import CASES, LINES, MIDDLE, Case
from tests.editors.home import Home
from tests.editors.http_server import KEY, statuses, warmed
from tests.editors.neovim import Neovim
from tests.editors.vim import NEOVIM, VIM, expect_accepted, home_with
from tests.editors.waiting import until

LLAMA_VIM = ["SHARDLINE_LLAMA_VIM"]


def rc(url: str) -> str:
    """Return what a user's vimrc says: another address, and nothing on the screen but the suggestion."""
    return f"let g:shardline_url = '{url}'\nlet g:llama_config = {{'show_info': 0}}\n"


@pytest.fixture(scope="module")
def editor(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Neovim, Home]]:
    home = home_with(tmp_path_factory.mktemp("llama_vim"), NEOVIM, "llama-vim.vim", LLAMA_VIM, rc(url))
    with Neovim(install.NEOVIM_11, {**home.environment, "SHARDLINE_API_KEY": KEY}) as neovim:
        yield neovim, home


@pytest.mark.parametrize("case", [*CASES, MIDDLE], ids=lambda case: case.name)
def test_ghost_text_is_on_the_screen_and_tab_accepts_it(editor: tuple[Neovim, Home], url: str, case: Case) -> None:
    neovim, home = editor
    neovim.begin(home, case)
    neovim.until("screen():find(given, 1, true)", case.shown)
    neovim.press("<Tab>")
    neovim.until("text() == given", case.accepted.decode().replace("\r\n", "\n"))
    neovim.lua("vim.cmd.stopinsert() vim.cmd.write()")
    home.expect_accepted(case)
    assert statuses(url) == {"200"}


def test_shift_tab_goes_on_to_the_next_line_and_tab_accepts_the_others(editor: tuple[Neovim, Home]) -> None:
    neovim, home = editor
    case = replace(LINES, name="by_lines")
    neovim.begin(home, case)
    neovim.until("screen():find(given, 1, true)", case.shown)
    neovim.press("<S-Tab>")
    neovim.until("vim.startswith(text(), given)", f"{case.prefix}\n    ")
    neovim.until("screen():find(given, 1, true)", case.shown)
    neovim.press("<Tab>")
    neovim.until("text() == given", case.accepted.decode())


def test_what_is_written_is_read_ahead_by_the_model(editor: tuple[Neovim, Home], url: str) -> None:
    neovim, home = editor
    neovim.edit(home.write(LINES), 1)
    neovim.lua("vim.cmd.write()")
    until(lambda: LINES.file.decode() in "".join(warmed(url)))
    assert LINES.file.decode() in "".join(warmed(url))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_in_vim_the_first_line_is_on_the_screen_and_tab_accepts_all_lines(case: Case, url: str, tmp_path: Path) -> None:
    """Vim before 9.1 shows the others with twice their indentation, but inserts them right."""
    home = home_with(tmp_path, VIM, "llama-vim.vim", LLAMA_VIM, rc(url))
    command = ["vim", f"+{case.line}", str(home.write(case))]
    with terminal.running(tmp_path / "tmux", {**home.environment, "SHARDLINE_API_KEY": KEY}, *command) as window:
        window.type("A")
        window.until_shown("-- INSERT --")
        window.type(case.typed)
        window.until_shown(case.label)
        window.press("Tab")
        expect_accepted(window, home, case)
