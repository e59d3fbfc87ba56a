"""A Neovim whose screen nobody sees, spoken to in its own protocol: MessagePack-RPC over standard input and output."""

import subprocess
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack

from tests.editors.cases import LINE, Case
from tests.editors.home import Home

REQUEST, RESPONSE, NOTIFICATION = 0, 1, 2
COLUMNS, LINES = 100, 30
GUARD_SECONDS = 20

_SCREEN = """
function screen()
  local lines = {}
  for row = 1, vim.o.lines do
    local cells = {}
    for column = 1, vim.o.columns do
      cells[column] = vim.fn.screenstring(row, column)
    end
    lines[row] = table.concat(cells):gsub('%s+$', '')
  end
  return table.concat(lines, '\\n')
end

function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), '\\n') .. '\\n'
end
"""

_TELL_WHEN = """
local condition, milliseconds, values = ...
local holds = assert(loadstring('local given = ...; return ' .. condition))
local timer, passed = assert(vim.uv.new_timer()), 0
timer:start(0, 10, vim.schedule_wrap(function()
  if timer:is_closing() then
    return
  end
  passed = passed + 10
  if holds(values) or passed > milliseconds then
    timer:close()
    vim.rpcnotify(vim.g.tests, 'until', holds(values) and true or false)
  end
end))
"""


class Neovim:
    """A running Neovim. Use as `with Neovim(program, environment) as neovim`."""

    def __init__(self, program: Path, environment: Mapping[str, str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([program, "--embed"], stdin=pipe, stdout=pipe, env=environment)
        self._unpacker = msgpack.Unpacker()
        self._notifications: deque[Any] = deque()
        self._asked = 0

    def __enter__(self) -> "Neovim":
        channel, _ = self.ask("nvim_get_api_info")
        self.ask("nvim_set_var", "tests", channel)
        self.ask("nvim_ui_attach", COLUMNS, LINES, {})
        self.lua(_SCREEN)
        return self

    def __exit__(self, *_: object) -> None:
        self._send([NOTIFICATION, "nvim_command", ["qall!"]])
        with self._process:  # closes the pipes and waits
            assert self._process.stdout is not None
            self._process.stdout.read()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a function of Neovim's API."""
        self._asked += 1
        self._send([REQUEST, self._asked, method, arguments])
        while True:
            message = self._receive()
            if message[0] == RESPONSE:
                _, _, error, result = message
                assert error is None, error
                return result
            self._notifications.append(message)

    def lua(self, code: str, *arguments: Any) -> Any:
        """Run Lua in the editor; `...` are the arguments."""
        return self.ask("nvim_exec_lua", code, arguments)

    def edit(self, file: Path, line: int) -> None:
        """Open a file with the cursor in `line`."""
        self.lua("vim.cmd('stopinsert | %bwipeout!')")
        self.lua("vim.cmd.edit(...)", str(file))
        self.lua("vim.api.nvim_win_set_cursor(0, { ..., 0 })", line)

    def begin(self, home: Home, case: Case) -> None:
        """Open the file of a case and type."""
        self.edit(home.write(case), case.line)
        self.press("A" + "<Left>" * case.behind + case.typed)

    def press(self, keys: str) -> None:
        """Press keys, in Neovim's notation."""
        self.ask("nvim_input", keys)

    def until(self, condition: str, given: Any = None) -> None:
        """Wait until a Lua expression holds, in which `given` may stand."""
        self.lua(_TELL_WHEN, condition, GUARD_SECONDS * 1000, given)
        while not any(message[1] == "until" for message in self._notifications):
            self._notifications.append(self._receive())
        holds = next(message[2][0] for message in self._notifications if message[1] == "until")
        self._notifications.clear()
        assert holds, f"{condition} does not hold for {given!r}:\n{self.lua('return screen()')}"

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgpack.packb(message))
        self._process.stdin.flush()

    def _receive(self) -> Any:
        """Return the next message that is not for the screen."""
        assert self._process.stdout is not None
        while True:
            for message in self._unpacker:
                if message[:2] != [NOTIFICATION, "redraw"]:
                    return message
            received = self._process.stdout.read1()  # type: ignore[attr-defined]
            assert received, "Neovim has ended."
            self._unpacker.feed(received)


@contextmanager
def opened(program: Path, home: Home) -> Iterator[Neovim]:
    """Neovim with a file of the project open and the model ready."""
    with Neovim(program, home.environment) as neovim:
        neovim.lua("vim.cmd.autocmd('LspProgress end let g:loaded = v:true')")
        neovim.edit(home.write(LINE), 1)
        neovim.until("vim.g.loaded")
        yield neovim
