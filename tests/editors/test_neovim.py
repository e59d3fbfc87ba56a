"""Neovim with editor-config/neovim.lua: ghost text, in 0.11 by that file, in 0.12 by Neovim itself, and the pop-up."""

from collections.abc import Iterator

import pytest

from tests.editors import install
from tests.editors.cases import BRACKETS, CASES, LINES, Case
from tests.editors.home import Home
from tests.editors.neovim import Neovim, opened

PROGRAMS = {"0.11": install.NEOVIM_11, "0.12": install.NEOVIM_12}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("neovim") / "home")
    home.configure("neovim.lua", ".config/nvim/plugin/shardline.lua")
    return home


@pytest.fixture(scope="module", params=PROGRAMS)
def neovim(request: pytest.FixtureRequest, home: Home) -> Iterator[Neovim]:
    program = PROGRAMS[request.param]
    if not program.exists():
        pytest.skip(f"There is no Neovim {request.param}: its package is out of reach.")
    with opened(program, home) as neovim:
        yield neovim


def expect_accepted(neovim: Neovim, home: Home, case: Case) -> None:
    """Check that the suggestion is in the buffer, and in the file when that is written."""
    neovim.until("text() == given", case.accepted.decode().replace("\r\n", "\n"))
    neovim.lua("vim.cmd.stopinsert() vim.cmd.write()")
    home.expect_accepted(case)


@every_case
def test_ghost_text_is_on_the_screen_and_tab_accepts_it(neovim: Neovim, home: Home, case: Case) -> None:
    neovim.begin(home, case)
    neovim.until("screen():find(given, 1, true)", case.shown)
    assert neovim.lua("return text()") == case.opened.replace("|", case.typed)
    neovim.press("<Tab>")
    expect_accepted(neovim, home, case)
    assert neovim.lua("return vim.fn.pumvisible()") == 0


@every_case
def test_the_pop_up_is_on_the_screen_and_ctrl_y_accepts_it(neovim: Neovim, home: Home, case: Case) -> None:
    neovim.begin(home, case)
    neovim.press("<C-X><C-O>")
    neovim.until("vim.fn.pumvisible() == 1")
    neovim.press("<C-N><C-Y>")
    expect_accepted(neovim, home, case)


def test_ghost_text_stays_while_it_is_typed(neovim: Neovim, home: Home) -> None:
    neovim.begin(home, LINES)
    neovim.until("screen():find(given, 1, true)", LINES.shown)
    neovim.press("<CR>if not ")
    neovim.until("text() == given", LINES.opened.replace("|", LINES.typed + "\n        if not "))
    neovim.until("screen():find(given, 1, true)", LINES.shown)
    neovim.press("<Tab>")
    expect_accepted(neovim, home, LINES)


def test_a_bracket_that_a_plugin_has_closed_is_not_doubled(neovim: Neovim, home: Home) -> None:
    neovim.lua("vim.keymap.set('i', '(', '()<Left>')")
    neovim.begin(home, BRACKETS)
    neovim.until("screen():find(given, 1, true)", BRACKETS.shown)
    neovim.press("<Tab>")
    expect_accepted(neovim, home, BRACKETS)
    neovim.lua("vim.keymap.del('i', '(')")


def test_a_page_tells_what_became_of_the_last_suggestions(neovim: Neovim, home: Home) -> None:
    neovim.begin(home, LINES)
    neovim.until("screen():find(given, 1, true)", LINES.shown)
    neovim.press("<Esc>:ShardlineExplain<CR>")
    neovim.until("vim.startswith(text(), given)", "# What became of the last requests\n")
    assert "` if not self.items: `" in neovim.lua("return text()")
