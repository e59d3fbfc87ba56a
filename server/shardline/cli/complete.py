"""One suggestion, for scripts."""

import asyncio
import json
from pathlib import Path

from shardline.completion import Source, Suggestion
from shardline.completion.code.languages import name_of
from shardline.completion.completer import Completer
from shardline.console import say
from shardline.engine.factory import open_engine
from shardline.errors import SettingsError
from shardline.settings import Settings


def complete(position: str, settings: Settings, *, as_json: bool) -> None:
    """Print what follows `position` (FILE:LINE:COLUMN, from 1)."""
    suggestion = asyncio.run(_suggest(read_source(position), settings))
    if as_json:
        usage = suggestion.usage.as_json() if suggestion.usage else {}
        print(json.dumps({"suggestion": suggestion.text, **usage}, indent=2))  # noqa: T201
    else:
        say(suggestion.text)


def read_source(position: str) -> Source:
    """Read FILE:LINE:COLUMN, both counted from 1 in characters; raises `SettingsError`."""
    from shardline.lsp.documents import split_lines  # lazy: slow to import

    name, line_text, column_text = [*position.rsplit(":", 2), "", ""][:3]
    if not (name and line_text.isdecimal() and column_text.isdecimal()):
        raise SettingsError(f"{position} must look like main.py:12:5, line and column counted from 1.")
    path = Path(name)
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}).") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    lines = split_lines(text)
    line, column = int(line_text) - 1, int(column_text) - 1
    if not (0 <= line < len(lines) and 0 <= column <= len(lines[line].rstrip("\r\n"))):
        raise SettingsError(f"{path} has no line {line_text} with a column {column_text}.")
    return Source(document=path.resolve().as_uri(), language=name_of(path), lines=lines, line=line, column=column)


async def _suggest(source: Source, settings: Settings) -> Suggestion:
    engine = open_engine(settings)
    try:
        await engine.load(lambda _: None)
        return await Completer(engine, settings).suggest(source)
    finally:
        engine.close()
        await engine.wait_closed()  # a process must not end while torch computes in it
