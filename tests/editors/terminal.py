"""A program in a terminal that nobody sees: tmux holds it, takes keys, and tells what is on the screen."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.editors.waiting import until


class Terminal:
    """A terminal of tmux, in which one program runs."""

    def __init__(self, socket: Path, environment: Mapping[str, str]) -> None:
        self._socket = socket
        self._environment = environment

    def tell(self, *command: str) -> str:
        """Give tmux a command, and return what it says."""
        words = ["tmux", "-S", str(self._socket), *command]
        return subprocess.run(words, env=self._environment, capture_output=True, text=True, check=True).stdout

    def type(self, text: str) -> None:
        """Type text."""
        self.tell("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys, by tmux' names."""
        self.tell("send-keys", *keys)

    def until_shown(self, text: str) -> None:
        """Wait until `text` is on the screen."""
        until(lambda: text in self.screen())
        screen = self.screen()
        assert text in screen, screen

    def screen(self) -> str:
        """Return what is on the screen."""
        return self.tell("capture-pane", "-p")


@contextmanager
def running(socket: Path, environment: Mapping[str, str], *command: str) -> Iterator[Terminal]:
    """Yield a terminal in which `command` runs until it ends or is left alone."""
    terminal = Terminal(socket, environment)
    terminal.tell("new-session", "-d", "-x", "100", "-y", "30", *command)
    try:
        yield terminal
    finally:
        terminal.tell("kill-server")
