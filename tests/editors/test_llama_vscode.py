"""VS Code with llama.vscode, before `shardline serve`: its checkout has to be built."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.editors import vscode
from tests.editors.cases import CASES, LINE, MIDDLE, Case
from tests.editors.home import Home
from tests.editors.http_server import KEY, statuses
from tests.editors.vscode import VSCode

CHECKOUT = "SHARDLINE_LLAMA_VSCODE"
QUIET = {"llama-vscode.ask_install_llamacpp": False, "llama-vscode.rag_enabled": False}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    if CHECKOUT not in os.environ:
        pytest.skip(f"llama.vscode is left out: {CHECKOUT} must name a checkout with its `dist/extension.js`.")
    home = Home(tmp_path_factory.mktemp("llama_vscode") / "home")
    extensions = home.folder / vscode.DATA / "extensions"
    extensions.mkdir(parents=True)
    (extensions / "ggml-org.llama-vscode-0.0.63").symlink_to(os.environ[CHECKOUT])
    return home


@pytest.fixture(scope="module")
def window(home: Home, url: str) -> Iterator[VSCode]:
    settings = {"llama-vscode.endpoint": url, "llama-vscode.api_key": KEY, **QUIET}
    with vscode.browser() as browser, vscode.shown(browser, home, settings) as window:
        window.begin(home, replace(LINE, name="first"))
        window.press("Control+l")  # it activates itself in JavaScript, TypeScript and plain text only
        expect(window.page.get_by_role("tab", name="Information")).to_be_visible()
        yield window


@pytest.mark.parametrize("case", [*CASES, MIDDLE], ids=lambda case: case.name)
def test_ghost_text_is_on_the_screen_and_tab_accepts_it(window: VSCode, home: Home, url: str, case: Case) -> None:
    window.begin(home, case)
    window.until_shown(case.shown)
    window.screenshot(f"llama-vscode-{case.name}")
    window.press("Tab")
    expect(window.ghost_text).to_have_count(0)
    window.press("Control+s")
    home.expect_accepted(case)
    assert statuses(url) == {"200"}
