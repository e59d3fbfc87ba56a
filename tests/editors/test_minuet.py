"""Neovim with minuet and editor-config/minuet.lua, before `shardline serve`."""

from collections.abc import Iterator

import pytest

from tests.editors import install
from tests.editors.cases import CASES, MIDDLE, Case
from tests.editors.home import Home
from tests.editors.http_server import KEY, statuses
from tests.editors.neovim import Neovim
from tests.editors.plugins import MINUET

FILE = ".config/nvim/plugin/shardline.lua"


@pytest.fixture(scope="module", params=["stream", "whole"])
def editor(
    request: pytest.FixtureRequest, url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Neovim, Home]]:
    home = Home(tmp_path_factory.mktemp("minuet") / "home")
    MINUET.install(home)
    home.configure(MINUET.config, FILE)
    with Neovim(install.NEOVIM_11, {**home.environment, "SHARDLINE_API_KEY": KEY, "SHARDLINE_URL": url}) as neovim:
        provider = "require('minuet').config.provider_options.openai_fim_compatible"
        neovim.lua(f"{provider}.stream = ...", request.param == "stream")
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
