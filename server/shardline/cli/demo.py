"""Demo: the real server as a child, this process as editor."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text

from shardline import children
from shardline.cli.inspect import plan
from shardline.console import Console
from shardline.engine.plan import Plan
from shardline.errors import ProtocolError, ShardlineError
from shardline.lsp.client.editor import Editor
from shardline.settings import Settings, as_values, uncounted

CURSOR = "▮"

PATIENCE = 60_000
"""Time limit of a suggestion, in milliseconds."""

SAMPLES = (
    (
        "the rest of a line",
        """\
import json
from pathlib import Path


def load_settings(path: Path) -> dict:
    with open(path) as file:
        return▮
""",
    ),
    (
        "the body of a block",
        """\
def fibonacci(n):
    # The n-th Fibonacci number
    if n < 2:
        return n
    else:▮
""",
    ),
    (
        "inside a call",
        """\
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--input", help="The file to read")
parser.add_argument("--output", help="The file to write")
parser.add_argument("--verbose",▮)
""",
    ),
    (
        "between two functions",
        '''\
def mean(values: list[float]) -> float:
    """The arithmetic mean."""
    return▮


def median(values: list[float]) -> float:
''',
    ),
)


def demo(settings: Settings) -> int:
    """Show it; returns the exit code, not 0 if any step failed."""
    console = Console(highlight=False)
    try:
        asyncio.run(_show(console, settings))
    except ShardlineError as error:
        console.print(Text(f"✗ {error}", style="bold red"))
        return 1
    console.print(Text("✓ every step answered", style="green"))
    return 0


async def _show(console: Console, settings: Settings) -> None:
    began = time.perf_counter()
    with console.status("Starting the server") as spinner:
        async with Editor(
            children.module("shardline"), lambda status: spinner.update(Text(status["message"]))
        ) as editor:
            await editor.initialize(as_values(uncounted(_patient(settings))))
            answered = time.perf_counter() - began
            await editor.ready()
            console.print(
                Text.assemble(
                    ("Shardline", "bold"),
                    f"  server answered after {answered:.2f} s, model ready after {time.perf_counter() - began:.1f} s",
                )
            )
            if placement := await editor.command("shardline.plan"):  # a server elsewhere does not say
                placed = Plan.from_json(placement)
                console.print(Text(f"{placed.model} in {placed.dtype}\n", style="dim"))
                console.print(plan.picture(placed))
            for number, (title, sample) in enumerate(SAMPLES, 1):
                spinner.update(f"Completing {title}")
                await _show_sample(console, editor, f"file:///demo/sample{number}.py", title, sample)


def _patient(settings: Settings) -> Settings:
    """Whole suggestions, however slow the machine is: nobody types on here. And no engine is left behind."""
    return replace(
        settings,
        completion=replace(settings.completion, time_budget=PATIENCE),
        engine=replace(settings.engine, idle=0.0),
    )


async def _show_sample(console: Console, editor: Editor, uri: str, title: str, sample: str) -> None:
    before, _, after = sample.partition(CURSOR)
    cursor = before.count("\n"), len(before.rpartition("\n")[2].encode())
    editor.open(uri, "python", before + after)
    ghost = await editor.ghost(uri, *cursor)
    usage = (await editor.command("shardline.status")).get("usage")
    popup = await editor.popup(uri, *cursor)
    editor.close(uri)
    if not (ghost and popup.items and usage):
        why = " ".join(editor.messages) or "The model had nothing to say."
        raise ProtocolError(f"No suggestion for {title}. {why}")
    console.print()
    console.print(Rule(Text(title, style="bold"), align="left", style="bright_black"))
    console.print(Padding(_code(before, str(ghost[0].insert_text), after), (1, 2)))
    console.print(Text(f"pop-up: {popup.items[0].label}\n{_in_words(usage)}", style="dim"))


def _code(before: str, ghost: str, after: str) -> Text:
    """Return the sample as an editor shows it: the suggestion dim, everything else in colour."""
    shown = _highlighted(before)
    shown.append(ghost, style="italic bright_black")
    return shown.append_text(_highlighted(after.rstrip()))


def _highlighted(code: str) -> Text:
    """`code` in colour, with the white space at its ends that the highlighter would drop."""
    body = code.strip()
    start = code.find(body)
    colours = Syntax("", "python", theme="ansi_dark", background_color="default").highlight(body)
    colours.rstrip()
    return Text(code[:start]).append_text(colours).append(code[start + len(body) :])


def _in_words(usage: Mapping[str, Any]) -> str:
    parts = [f"first token {1000 * usage['time_to_first_token']:.0f} ms"]
    if usage["tokens_per_second"]:
        parts.append(f"{usage['tokens_per_second']:.0f} tokens/s")
    parts.append(f"{usage['completion_tokens']} tokens after a prompt of {usage['prompt_tokens']}")
    return ", ".join(parts)
