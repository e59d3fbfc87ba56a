"""Vim with vim-lsp and with yegappan/lsp, by the files of editor-config: what their pop-ups insert."""

from pathlib import Path

import pytest

from tests.editors.cases import BELOW, CASES, Case
from tests.editors.vim import VIM, asks, begun, expect_accepted, home_with

VIM_LSP = ["SHARDLINE_VIM_LSP", "SHARDLINE_ASYNCOMPLETE", "SHARDLINE_ASYNCOMPLETE_LSP"]
BY_HAND = "let g:asyncomplete_auto_popup = 0\n"
"""Else what it does a moment after the last key may close a pop-up that was asked for at once."""
VIM9_LSP = ["SHARDLINE_VIM9_LSP"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_vim_lsp_inserts_all_lines(case: Case, tmp_path: Path) -> None:
    home = home_with(tmp_path, VIM, "vim-lsp.vim", VIM_LSP, "" if asks(case) else BY_HAND)
    with begun(home, case, tmp_path) as window:
        if not asks(case):
            window.press("C-Space")
        window.until_shown(case.label)
        window.press("C-n", "C-y")
        expect_accepted(window, home, case)


@pytest.mark.parametrize("case", [*(case for case in CASES if case.below is None), *BELOW], ids=lambda case: case.name)
def test_yegappan_lsp_inserts_all_lines_where_a_word_or_a_sign_is_typed(case: Case, tmp_path: Path) -> None:
    home = home_with(tmp_path, VIM, "vim9-lsp.vim", VIM9_LSP)
    with begun(home, case, tmp_path) as window:
        window.until_shown(case.label)
        window.press("C-n", "C-y")
        expect_accepted(window, home, case)
