"""Vim and Neovim with coc.nvim and editor-config/coc.vim: its pop-up, and its ghost text."""

from pathlib import Path

import pytest

from tests.editors import install
from tests.editors.cases import CASES, EMOJI, LINE, TABBED_LINE, WORD, Case
from tests.editors.home import Home
from tests.editors.neovim import Neovim
from tests.editors.vim import NEOVIM, VIM, asks, begun, expect_accepted, home_with

COC = ["SHARDLINE_COC"]
GHOST_TEXT = "let g:shardline_ghost_text = 1\n"
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_line = pytest.mark.parametrize("case", [LINE, TABBED_LINE, EMOJI, WORD], ids=lambda case: case.name)


@every_case
def test_in_vim_the_pop_up_is_on_the_screen_and_ctrl_y_accepts_it(case: Case, tmp_path: Path) -> None:
    home = home_with(tmp_path, VIM, "coc.vim", COC)
    with begun(home, case, tmp_path) as window:
        if not asks(case):
            window.press("C-Space")
        window.until_shown(case.label)
        window.press("C-y")
        expect_accepted(window, home, case)


@every_line
def test_in_vim_ghost_text_is_on_the_screen_and_tab_accepts_it(case: Case, tmp_path: Path) -> None:
    home = home_with(tmp_path, VIM, "coc.vim", COC, GHOST_TEXT)
    with begun(home, case, tmp_path) as window:
        window.until_shown(case.shown)
        window.press("Tab")
        expect_accepted(window, home, case)


@every_case
def test_in_neovim_the_pop_up_is_on_the_screen_and_ctrl_y_accepts_it(case: Case, tmp_path: Path) -> None:
    home = home_with(tmp_path, NEOVIM, "coc.vim", COC)
    ask = "" if asks(case) else "<C-Space>"
    accept_in_neovim(home, case, ask, case.label, "<C-y>")


@every_line
def test_in_neovim_ghost_text_is_on_the_screen_and_tab_accepts_it(case: Case, tmp_path: Path) -> None:
    home = home_with(tmp_path, NEOVIM, "coc.vim", COC, GHOST_TEXT)
    accept_in_neovim(home, case, "", case.shown, "<Tab>")


def accept_in_neovim(home: Home, case: Case, ask: str, shown: str, accept: str) -> None:
    """Type, wait until the suggestion is shown, accept it, and save."""
    with Neovim(install.NEOVIM_11, home.environment) as neovim:
        neovim.edit(home.write(case), case.line)
        home.until_ready()
        neovim.press("A" + case.typed)
        neovim.until("text() == given", case.opened.replace("|", case.typed))
        neovim.press(ask)
        neovim.until("screen():find(given, 1, true)", shown)
        neovim.press(accept)
        neovim.until("text() == given", case.accepted.decode().replace("\r\n", "\n"))
        neovim.lua("vim.cmd.stopinsert() vim.cmd.write()")
        home.expect_accepted(case)
