"""Standard output for people; foreign text cannot control the terminal."""

import sys
from collections.abc import Iterable
from typing import Any

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from shardline.terminal import printable


class Console(rich.console.Console):
    """Rich's console, without markup, that writes every text made printable."""

    def __init__(self, *, stderr: bool = False, highlight: bool = True) -> None:
        super().__init__(stderr=stderr, highlight=highlight, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a text of a string, printable before a table measures it."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render to segments, of which only Rich's own hold control codes."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def progress_bar() -> Progress:
    """Return a bar with a description, a count and the time that is left."""
    description = TextColumn("{task.description}", style="progress.description", markup=False)
    return Progress(description, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console())


def say(text: str) -> None:
    """Print `text`, exactly if into a pipe or a file."""
    print(printable(text) if sys.stdout.isatty() else text, flush=True)  # noqa: T201
