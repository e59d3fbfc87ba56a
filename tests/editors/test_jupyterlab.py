"""JupyterLab with editor-config/jupyterlab.json: what the item of its pop-up inserts."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.editors import jupyterlab, vscode
from tests.editors.cases import CASES, EMOJI, Case
from tests.editors.home import Home
from tests.editors.jupyterlab import JupyterLab

RIGHTLY_ASKED = [case for case in CASES if case is not EMOJI]
"""Behind an emoji jupyterlab-lsp asks any server for what follows one character earlier."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("jupyterlab") / "home")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with vscode.browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    with jupyterlab.serving(home) as address:
        yield address


@pytest.fixture
def lab(browser: Browser, address: str) -> Iterator[JupyterLab]:
    with jupyterlab.opened(browser, address) as lab:
        yield lab


@pytest.mark.parametrize("case", RIGHTLY_ASKED, ids=lambda case: case.name)
def test_tab_shows_the_pop_up_and_enter_accepts_all_lines(lab: JupyterLab, home: Home, case: Case) -> None:
    lab.begin(home, case)
    lab.press("Tab")
    expect(lab.popup).to_contain_text(case.label)
    lab.press("Enter", "Control+s")
    home.expect_accepted(case)
