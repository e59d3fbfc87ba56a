"""What shows pop-ups in Neovim: itself, and plugins that run from a checkout that an environment variable names."""

import os
from dataclasses import dataclass

import pytest

from tests.editors.home import Home

BLINK_CMP = "SHARDLINE_BLINK_CMP"
NVIM_CMP = "SHARDLINE_NVIM_CMP"
CMP_NVIM_LSP = "SHARDLINE_CMP_NVIM_LSP"
MINUET_CHECKOUT = "SHARDLINE_MINUET"


@dataclass(frozen=True)
class Plugin:
    """A completion plugin, as its own documentation sets it up.

    `config` is Shardline's file for it, and `asks` the keys that ask for a pop-up where a letter alone does not.
    """

    name: str
    setup: str
    config: str
    checkouts: tuple[str, ...] = ()
    asks: str = ""

    def install(self, home: Home, *, ghost_text: bool = False) -> None:
        """Write the user's `init.lua`, or skip the test where there is no checkout."""
        missing = [name for name in self.checkouts if name not in os.environ]
        if missing:
            pytest.skip(f"{self.name} is left out: {' and '.join(missing)} must name checkouts.")
        paths = [f"{os.environ[name]}{part}" for name in self.checkouts for part in ("", "/after")]
        folders = [f"vim.opt.runtimepath:append('{path}')\n" for path in paths]
        init = home.folder / ".config" / "nvim" / "init.lua"
        init.parent.mkdir(parents=True, exist_ok=True)
        switch = f"local ghost_text = {str(ghost_text).lower()}\n"
        init.write_text("".join([*folders, switch, self.setup]), encoding="utf-8")


BLINK = Plugin(
    name="blink.cmp",
    checkouts=(BLINK_CMP,),
    setup="""
require('blink.cmp').setup({
  fuzzy = { implementation = 'lua' },
  completion = { ghost_text = { enabled = ghost_text } },
})
""",
    config="blink-cmp.lua",
)

CMP = Plugin(
    name="nvim-cmp",
    checkouts=(NVIM_CMP, CMP_NVIM_LSP),
    setup="""
local cmp = require('cmp')
cmp.setup({
  sources = { { name = 'nvim_lsp' } },
  mapping = cmp.mapping.preset.insert({ ['<C-y>'] = cmp.mapping.confirm({ select = true }) }),
  experimental = { ghost_text = ghost_text },
})
vim.lsp.config('*', { capabilities = require('cmp_nvim_lsp').default_capabilities() })
""",
    config="nvim-cmp.lua",
)

BUILT_IN = Plugin(
    name="vim.lsp.completion",
    setup="vim.o.completeopt = 'menuone,noselect'",
    config="neovim.lua",
    asks="<C-x><C-o>",
)

MINUET = Plugin(
    name="minuet",
    checkouts=(MINUET_CHECKOUT,),
    setup="vim.g.shardline_url = vim.env.SHARDLINE_URL",
    config="minuet.lua",
)

PLUGINS = [BLINK, CMP]
