"""Neovim with blink.cmp and nvim-cmp, and their files of editor-config: what their pop-ups insert, and when."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors import install
from tests.editors.cases import CASES, LINE, Case
from tests.editors.home import Home
from tests.editors.neovim import Neovim, opened
from tests.editors.other_server import NAMES
from tests.editors.plugins import BUILT_IN, CMP, PLUGINS, Plugin
from tests.editors.popups import beside_another, measure, type_a_word
from tests.editors.slow_server import SUGGESTED

MOST_MILLISECONDS = 150
"""So much later than without Shardline another server's items may come."""

FILE = ".config/nvim/plugin/shardline.lua"
PROGRAMS = {"0.11": install.NEOVIM_11, "0.12": install.NEOVIM_12}
every_plugin = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Path:
    program: Path = PROGRAMS[request.param]
    if not program.exists():
        pytest.skip(f"There is no Neovim {request.param}: its package is out of reach.")
    return program


@pytest.fixture(scope="module", params=PLUGINS, ids=lambda plugin: plugin.name)
def editor(
    request: pytest.FixtureRequest, program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Neovim, Home]]:
    home = Home(tmp_path_factory.mktemp("plugins") / "home")
    request.param.install(home)
    home.configure(request.param.config, FILE)
    with opened(program, home) as neovim:
        yield neovim, home


def begin(neovim: Neovim, home: Home, case: Case) -> None:
    """Type as people do: of keys that come with the one that begins insertion the plugins see nothing."""
    neovim.edit(home.write(case), case.line)
    neovim.press("A")
    neovim.until("vim.api.nvim_get_mode().mode == 'i'")
    neovim.press(case.typed)
    neovim.until("text() == given", case.opened.replace("|", case.typed))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_item_is_on_the_screen_and_ctrl_y_accepts_it(editor: tuple[Neovim, Home], case: Case) -> None:
    neovim, home = editor
    begin(neovim, home, case)
    neovim.until("screen():find(given, 1, true)", case.label)
    neovim.press("<C-y>")
    neovim.until("text() == given", case.accepted.decode().replace("\r\n", "\n"))
    neovim.lua("vim.cmd.stopinsert() vim.cmd.write()")
    home.expect_accepted(case)


@every_plugin
def test_a_slow_model_holds_back_no_other_items_and_its_own_joins_them_without_another_key(
    plugin: Plugin, program: Path, tmp_path: Path
) -> None:
    with beside_another(plugin, "its file", tmp_path, program) as neovim:
        type_a_word(neovim, 1)
        neovim.until("shows(given[1]) and not shows(given[2])", [NAMES[0], SUGGESTED])
        neovim.until("shows(given[1]) and shows(given[2])", [NAMES[0], SUGGESTED])


@pytest.mark.parametrize("plugin", [*PLUGINS, BUILT_IN], ids=lambda plugin: plugin.name)
def test_another_servers_items_come_hardly_later_than_without_a_slow_model(
    plugin: Plugin, program: Path, tmp_path: Path
) -> None:
    alone = measure(plugin, "nothing", tmp_path / "alone", program)
    with_file = measure(plugin, "its file", tmp_path / "file", program)
    without_file = measure(plugin, "no file", tmp_path / "none", program)
    assert with_file.other - alone.other < MOST_MILLISECONDS
    assert without_file.other - alone.other < MOST_MILLISECONDS


@pytest.mark.parametrize("keys", ["x = ", "if x:<CR>"], ids=["space", "line"])
def test_nvim_cmp_asks_behind_a_space_and_in_a_new_line(keys: str, program: Path, tmp_path: Path) -> None:
    """Only nvim-cmp: blink.cmp asks there for no server."""
    with beside_another(CMP, "its file", tmp_path, program) as neovim:
        neovim.press("A")
        neovim.until("vim.api.nvim_get_mode().mode == 'i'")
        neovim.press(keys)
        neovim.until("shows(given)", SUGGESTED)


@every_plugin
def test_with_ghost_text_by_shardlines_own_file_nothing_is_shown_twice(
    plugin: Plugin, program: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    plugin.install(home, ghost_text=True)
    home.configure("neovim.lua", FILE)
    with opened(program, home) as neovim:
        begin(neovim, home, LINE)
        neovim.until("screen():find(given, 1, true)", LINE.shown)
        neovim.press("<Esc>:ShardlineExplain<CR>")
        neovim.until("vim.startswith(text(), given)", "# What became of the last requests\n")
        assert "| ghost text |" in neovim.lua("return text()")
        assert "| pop-up |" not in neovim.lua("return text()")
