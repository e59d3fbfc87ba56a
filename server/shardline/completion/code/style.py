"""Indentation style of a document."""

from shardline.completion import Source
from shardline.completion.code import indentation
from shardline.completion.code.syntax import syntax_of

STYLE_LINES = 200
"""Lines above and below the cursor that determine the style."""

TABS = frozenset(["go", "go.mod", "gomod", "make", "makefile"])
"""Languages whose compiler or formatter requires tabs."""

SPACES = frozenset(["elm", "fsharp", "haskell", "nim", "purescript", "yaml"])
"""Languages in which a tab is an error."""

DEFAULT_SPACES = "  "


def style(source: Source) -> str | None:
    """Return one step of indentation, by the language or the blocks near the cursor; None if unknown."""
    language = source.language.lower()
    if language in TABS:
        return "\t"
    shown = indentation.unit(_block_lines(source))
    if language in SPACES:
        return DEFAULT_SPACES if shown in (None, "\t") else shown
    return shown


def _block_lines(source: Source) -> list[str]:
    first = max(0, source.line - STYLE_LINES)
    near = [line.rstrip("\r\n") for line in source.lines[first : source.line + STYLE_LINES]]
    continued = syntax_of("\n".join(near), source.language).continued_lines()
    return [line for number, line in enumerate(near) if number not in continued]
