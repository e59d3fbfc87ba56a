"""Vim and Neovim with coc.nvim and editor-config/coc.vim: its pop-up, and its ghost text."""

from pathlib import Path

import pytest

from tests.editors.cases import CASES, EMOJI, LINE, TABBED_LINE, WORD, Case
from tests.editors.vim import NEOVIM, VIM, Vim, asks, expect_accepted

COC = ["SHARDLINE_COC"]
GHOST_ONLY = "let g:coc_user_config = {'suggest.autoTrigger': 'none'}\n"
editors = pytest.mark.parametrize("editor", [VIM, NEOVIM], ids=["vim", "neovim"])


@editors
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_pop_up_is_on_the_screen_and_ctrl_y_accepts_it(editor: Vim, case: Case, tmp_path: Path) -> None:
    home = editor.home(tmp_path, "coc.vim", COC)
    with editor.begun(home, case, tmp_path) as window:
        if not asks(case):
            window.press("C-Space")
        window.until_shown(case.label)
        window.press("C-y")
        expect_accepted(window, home, case)


@editors
@pytest.mark.parametrize("case", [LINE, TABBED_LINE, EMOJI, WORD], ids=lambda case: case.name)
def test_ghost_text_is_on_the_screen_and_tab_accepts_it(editor: Vim, case: Case, tmp_path: Path) -> None:
    home = editor.home(tmp_path, "coc.vim", COC, GHOST_ONLY)
    with editor.begun(home, case, tmp_path) as window:
        window.until_shown(case.shown)
        window.press("Tab")
        expect_accepted(window, home, case)
