"""Vim in a terminal, and Neovim, with plugins that are in no registry."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from shardline.lsp.registration import COMPLETION
from tests.editors import install, terminal
from tests.editors.cases import Case
from tests.editors.home import Home
from tests.editors.terminal import Terminal
from tests.editors.waiting import until

VIMRC = """
filetype plugin indent on
set tabstop=4
autocmd BufRead tabs*.py setlocal noexpandtab shiftwidth=4
"""


VIM = (".vim", ".vimrc")
NEOVIM = (".config/nvim", ".config/nvim/init.vim")
"""Where the editors have their configuration in a home: its folder, and its main file."""


def home_with(folder: Path, editor: tuple[str, str], config: str, plugins: Sequence[str], rc: str = "") -> Home:
    """Return a home with `config` of editor-config and with plugins, of which variables name the checkouts.

    Skips the test, and says what is left out, where they name none.
    """
    missing = [variable for variable in plugins if not os.environ.get(variable)]
    if missing:
        pytest.skip(f"LEFT OUT: {', '.join(missing)} must name checkouts of plugins that are in no registry.")
    home, (configuration, main) = Home(folder / "home"), editor
    home.configure(config, f"{configuration}/plugin/shardline.vim")
    packages = home.folder / configuration / "pack" / "tests" / "start"
    packages.mkdir(parents=True)
    for variable in plugins:
        checkout = Path(os.environ[variable])
        (packages / checkout.name).symlink_to(checkout)
    (home.folder / main).write_text(VIMRC + rc)
    (home.folder / "bin" / "node").symlink_to(install.NODE / "node")
    return home


@contextmanager
def begun(home: Home, case: Case, folder: Path) -> Iterator[Terminal]:
    """Open the file of `case` in Vim, and type."""
    command = ["vim", f"+{case.line}", str(home.write(case))]
    with terminal.running(folder / "tmux", home.environment, *command) as window:
        home.until_ready()
        window.type("A")
        window.until_shown("-- INSERT --")
        window.type(case.typed)
        yield window


def asks(case: Case) -> bool:
    """Whether a client asks for a pop-up by itself when the case is typed."""
    last = case.typed[-1]
    return last.isalnum() or last in (COMPLETION.trigger_characters or [])


def expect_accepted(window: Terminal, home: Home, case: Case) -> None:
    """Wait until the suggestion is in the text on the screen; write the file and compare it byte for byte."""
    text = case.accepted.decode().replace("\r\n", "\n").expandtabs(4)
    until(lambda: window.screen().startswith(text))
    assert window.screen().startswith(text), window.screen()
    window.press("Escape")
    window.type(":w")
    window.press("Enter")
    home.expect_accepted(case)
