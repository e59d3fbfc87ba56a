"""How long another server's items take to be on the screen: without Shardline, and beside it before a slow model.

As a program it writes a table: `python -m tests.editors.popups`, where `python -m tests.editors` has installed Neovim
and its package msgpack can be imported.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from tests.editors import install
from tests.editors.home import CONFIG, ROOT, Home
from tests.editors.neovim import Neovim
from tests.editors.other_server import NAMES
from tests.editors.plugins import BUILT_IN, PLUGINS, Plugin
from tests.editors.slow_server import SUGGESTED

ROUNDS = 7
Beside = Literal["nothing", "its file", "no file"]
"""Whether Shardline runs, as its file for the plugin has it or as any language server."""

_OTHER = f"""
vim.lsp.config('other', {{
  cmd = {{ '{sys.executable}', '-m', 'tests.editors.other_server' }},
  cmd_env = {{ PYTHONPATH = '{ROOT}' }},
}})
vim.lsp.enable('other')
"""
_NO_FILE = "vim.lsp.config('shardline', { cmd = { 'shardline' } }) vim.lsp.enable('shardline')"
_WATCH = """
vim.api.nvim_create_autocmd('InsertCharPre', { callback = function() Typed = vim.uv.hrtime() end })
function shows(text)
  return screen():find(text, 1, true) ~= nil
end
function watch(text)
  local timer = assert(vim.uv.new_timer())
  Took = nil
  timer:start(0, 5, vim.schedule_wrap(function()
    if not timer:is_closing() and shows(text) then
      timer:close()
      Took = (vim.uv.hrtime() - Typed) / 1e6
    end
  end))
end
"""


@dataclass(frozen=True, kw_only=True)
class Waits:
    """Milliseconds from the key until an item is on the screen, the median of all rounds."""

    other: float
    own: float | None
    """None where it does not come without another key, or Shardline does not run."""


@contextmanager
def beside_another(plugin: Plugin, beside: Beside, folder: Path, program: Path) -> Iterator[Neovim]:
    """Neovim with the other server, and Shardline before a model that needs a second."""
    home = Home(folder / "home", ("-m", "tests.editors.slow_server"))
    plugin.install(home)
    files = home.folder / ".config" / "nvim" / "plugin"
    files.mkdir(parents=True)
    (files / "other.lua").write_text(_OTHER, encoding="utf-8")
    if beside == "its file":
        shutil.copyfile(CONFIG / plugin.config, files / "shardline.lua")
    elif beside == "no file":
        (files / "shardline.lua").write_text(_NO_FILE, encoding="utf-8")
    with Neovim(program, home.environment) as neovim:
        neovim.lua(_WATCH)
        neovim.lua("vim.cmd.autocmd('LspProgress end let g:loaded = v:true')")
        (home.project / "a.py").write_text("\n")
        neovim.lua("vim.cmd.edit(...)", str(home.project / "a.py"))
        servers = 1 if beside == "nothing" else 2
        neovim.until("#vim.lsp.get_clients({ bufnr = 0 }) == given", servers)
        neovim.until("vim.iter(vim.lsp.get_clients()):all(function(client) return client.initialized end)")
        if servers == 2:
            neovim.until("vim.g.loaded")
        yield neovim


def type_a_word(neovim: Neovim, number: int, asks: str = "") -> None:
    """Type the first letter of what the other server offers, in a text that no suggestion is known for."""
    neovim.lua("vim.cmd.stopinsert()")
    neovim.lua("vim.api.nvim_buf_set_lines(0, 0, -1, true, { ... })", f"number = {number}", "")
    neovim.lua("vim.api.nvim_win_set_cursor(0, { 2, 0 })")
    neovim.until("not shows(given)", NAMES[0])
    neovim.press("A")
    neovim.until("vim.api.nvim_get_mode().mode == 'i'")
    neovim.lua("watch(...)", NAMES[0])
    neovim.press(NAMES[0][0] + asks)


def measure(plugin: Plugin, beside: Beside, folder: Path, program: Path) -> Waits:
    """Type a word again and again, after one that does not count."""
    others, owns = [], []
    with beside_another(plugin, beside, folder, program) as neovim:
        for number in range(ROUNDS + 1):
            type_a_word(neovim, number, plugin.asks)
            neovim.until("Took")
            others.append(neovim.lua("return Took"))
            if beside == "its file" and not plugin.asks:
                neovim.lua("watch(...)", SUGGESTED)
                neovim.until("Took")
                owns.append(neovim.lua("return Took"))
    return Waits(other=median(others[1:]), own=median(owns[1:]) if owns else None)


def main() -> None:
    """Write a table for all plugins."""
    ways: tuple[Beside, ...] = ("nothing", "its file", "no file")
    sys.stdout.write("| plugin | Shardline | another server's items | Shardline's item |\n|---|---|---|---|\n")
    for plugin in [*PLUGINS, BUILT_IN]:
        for beside in ways:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                os.environ["XDG_RUNTIME_DIR"] = folder
                waits = measure(plugin, beside, Path(folder), install.NEOVIM_11)
            own = f"{waits.own:.0f} ms" if waits.own else ""
            sys.stdout.write(f"| {plugin.name} | {beside} | {waits.other:.0f} ms | {own} |\n")


if __name__ == "__main__":
    main()
