"""Vim in a terminal, with plugins that are in no registry: an environment variable names the checkout of each."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.editors import terminal
from tests.editors.cases import Case
from tests.editors.home import Home
from tests.editors.terminal import Terminal

VIMRC = """
filetype plugin indent on
autocmd BufRead tabs*.py setlocal noexpandtab shiftwidth=4 tabstop=4
"""


def checkouts(*variables: str) -> list[Path]:
    """Return the folders that the variables name, or skip the test and say what is left out."""
    missing = [variable for variable in variables if not os.environ.get(variable)]
    if missing:
        pytest.skip(f"LEFT OUT: {', '.join(missing)} must name checkouts of plugins that are in no registry.")
    return [Path(os.environ[variable]) for variable in variables]


def home_with(folder: Path, config: str, plugins: Sequence[Path]) -> Home:
    """Return a home with Vim's plugins, and `config` of editor-config where its README has it."""
    home = Home(folder / "home")
    home.configure(config, ".vim/plugin/shardline.vim")
    packages = home.folder / ".vim" / "pack" / "tests" / "start"
    packages.mkdir(parents=True)
    for plugin in plugins:
        (packages / plugin.name).symlink_to(plugin)
    (home.folder / ".vimrc").write_text(VIMRC)
    return home


@contextmanager
def begun(home: Home, case: Case, folder: Path) -> Iterator[Terminal]:
    """Run Vim with the file of `case`, ready to type at the end of its line."""
    vim = ["vim", f"+{case.line}", str(home.write(case))]
    with terminal.running(folder / "tmux", home.environment, *vim) as window:
        home.until_ready()
        window.type("A")
        window.until_shown("-- INSERT --")
        yield window
