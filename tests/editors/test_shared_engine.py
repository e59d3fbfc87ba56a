"""Neovim and VS Code of one user, open at the same time: two language servers, and one engine for both."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.editors import install, neovim, vscode
from tests.editors.cases import LINE
from tests.editors.home import Home
from tests.editors.waiting import until


def engines(home: Home) -> list[dict[str, Any]]:
    """Return the engines of the user, as `shardline engines` prints them."""
    command = [str(home.folder / "bin" / "shardline"), "engines", "--json"]
    told: list[dict[str, Any]] = json.loads(subprocess.check_output(command, env=home.environment))
    return told


def expect_one_engine(home: Home, pid: int, *, clients: int) -> None:
    """There is that engine and no other, and so many language servers use it, once those that ended have left it."""
    until(lambda: [engine["clients"] for engine in engines(home)] == [clients])
    assert [(engine["pid"], engine["clients"]) for engine in engines(home)] == [(pid, clients)]


@pytest.mark.usefixtures("own_runtime")
def test_neovim_and_vscode_share_one_engine(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", server=("-m", "shardline"))
    home.configure("neovim.lua", ".config/nvim/plugin/shardline.lua")
    in_neovim, in_window = replace(LINE, name="neovim"), replace(LINE, name="vscode")
    with vscode.browser() as chromium, vscode.opened(chromium, home) as window:
        (engine,) = engines(home)
        with neovim.opened(install.NEOVIM_11, home) as editor:
            expect_one_engine(home, engine["pid"], clients=2)
            window.begin(home, in_window)
            editor.begin(home, in_neovim)
            window.until_shown(in_window.shown)
            expect(window.ghost_text.first).to_be_visible()
            editor.until("screen():find(given, 1, true)", in_neovim.shown)
            window.screenshot("shared-engine")
            expect_one_engine(home, engine["pid"], clients=2)
        expect_one_engine(home, engine["pid"], clients=1)
    expect_one_engine(home, engine["pid"], clients=0)
