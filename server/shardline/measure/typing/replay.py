"""Replay: a file typed again in front of a real server."""

import asyncio
import json
import random
import shlex
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from shardline import children
from shardline.completion.code.languages import name_of
from shardline.console import Console, progress_bar
from shardline.errors import ProtocolError, SettingsError
from shardline.lsp.client.buffer import Buffer
from shardline.lsp.client.editor import Editor
from shardline.lsp.client.profiles import CLIENTS
from shardline.measure.output import Files
from shardline.measure.typing import summary
from shardline.measure.typing.keystrokes import keystrokes
from shardline.measure.typing.outcomes import Record
from shardline.measure.typing.passages import passages
from shardline.measure.typing.typist import Session
from shardline.settings import Settings, as_values, uncounted

ANSWER_SECONDS = 10.0
"""Seconds to wait for the last answers."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """Script of a replay: the file, the pace, and the server's command, by default our own."""

    file: Path
    keystrokes: int
    seed: int
    client: str
    speed: float
    server: str | None = None
    answer_seconds: float = ANSWER_SECONDS


def replay(script: Script, settings: Settings, files: Files) -> int:
    """Type, print the figures and return the exit code: not 0 where the server failed."""
    if script.client not in CLIENTS:
        raise SettingsError(f"--client: there is no {script.client}; there are {', '.join(CLIENTS)}.")
    text = _text(script.file)
    record, console, problem = Record(), Console(), ""
    try:
        with progress_bar() as progress:
            asyncio.run(type_file(script, settings, text, record, progress))
    except ProtocolError as error:
        problem = str(error)
    except KeyboardInterrupt:
        console.print("Stopped; these are the figures so far.")
    head = {"file": str(script.file), "server": script.server or "shardline", "client": script.client}
    report = {**head, "speed": script.speed, "seed": script.seed, **summary.report(record)}
    console.print(summary.table(report))
    if problem:
        console.print(f"! {problem}", style="yellow")
    if files.json is not None:
        files.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    if files.plot is not None:
        summary.draw(record, files.plot, title=f"{script.file.name} typed in front of {head['server']}")
    return 1 if problem else 0


async def type_file(script: Script, settings: Settings, text: str, record: Record, progress: Progress) -> None:
    """Type passage after passage of `text`, each in a document of its own, until all keys were pressed.

    What happens is in `record` as soon as it has. Raises `ProtocolError` where the server does not hold out.
    """
    task = progress.add_task("Starting the server", total=script.keystrokes)
    client = CLIENTS[script.client]
    editor = Editor(
        shlex.split(script.server) if script.server else children.module("shardline"),
        lambda status: progress.update(task, description=status["message"]),
        capabilities=client.capabilities,
        on_usage=record.spent,
        surroundings=children.inherited() if script.server else None,
    )
    async with editor:
        server = await editor.initialize(None if script.server else as_values(uncounted(settings)))
        if server.server_info and server.server_info.name == "shardline":
            await editor.ready()
            record.tells_usage = True
        progress.update(task, description="Typing")
        provider = server.capabilities.completion_provider
        session = Session(
            editor,
            client,
            record,
            triggers="".join((provider and provider.trigger_characters) or []),
            max_keystrokes=script.keystrokes,
            speed=script.speed,
            chance=random.Random(f"{script.seed} accepting"),  # noqa: S311  not a secret
            on_keystroke=lambda: progress.advance(task),
        )
        chance = random.Random(script.seed)  # noqa: S311  not a secret
        for passage in passages(text, chance):
            buffer = Buffer(
                uri=script.file.resolve().as_uri(),
                language=name_of(script.file),
                text=passage.head + passage.tail,
                cursor=len(passage.head),
                encoding=str(server.capabilities.position_encoding or "utf-16"),
            )
            editor.open(buffer.uri, buffer.language, buffer.text)
            keys = keystrokes(
                passage.text,
                passage.head,
                speed=script.speed,
                chance=random.Random(chance.random()),  # noqa: S311
            )
            await session.type(passage, keys, buffer)
            await session.settle(script.answer_seconds)
            editor.close(buffer.uri)
            if session.is_over():
                return


def _text(file: Path) -> str:
    """Return the file's text, with line feeds."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read as text ({error}).") from error
    if not text.strip():
        raise SettingsError(f"{file} has nothing to type.")
    return text
