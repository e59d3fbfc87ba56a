"""Prompt that a model would read at a cursor, without its weights."""

import json
from typing import Any

from rich.text import Text

from shardline.cli.complete import read_source
from shardline.completion.code import excerpt
from shardline.console import Console
from shardline.engine import Request
from shardline.settings import Settings


def prompt(position: str, settings: Settings, *, healing: bool, as_json: bool) -> None:
    """Print the prompt for `position` (FILE:LINE:COLUMN, from 1)."""
    from shardline.engine.checkpoints import checkpoint
    from shardline.engine.placement import planner
    from shardline.engine.tokenization import prompt as prompts
    from shardline.engine.tokenization.tokenizer import Codec

    source = read_source(position)
    prefix, suffix = excerpt.window(source)
    found = checkpoint.find(settings.model, lambda _: None, weights=False)
    codec = Codec.of(found)
    max_tokens = settings.generation.max_tokens
    budget = prompts.prompt_budget(planner.context_tokens(settings.model, found), max_tokens)
    infilling = settings.completion.infilling
    request = Request(
        document=source.document,
        prefix=prefix,
        suffix=suffix,
        infilling=infilling,
        healing=healing,
        max_tokens=max_tokens,
    )
    made = prompts.build(request, codec, budget=budget)
    shown: dict[str, Any] = {
        "format": made.format,
        "token_ids": made.ids,
        "text": codec.decode(made.ids),
        "healed": made.removed,
        "prefix_tokens": made.prefix_tokens,
        "suffix_tokens": made.suffix_tokens,
        "budget": made.budget,
    }
    if as_json:
        print(json.dumps(shown, indent=2))  # noqa: T201
        return
    console = Console(highlight=False)
    console.print(Text.assemble(shown["text"], (made.removed, "reverse")))
    counted = f"{len(made.ids)} of {made.budget} tokens: {made.prefix_tokens} of prefix, {made.suffix_tokens} of suffix"
    healed = f"; the model has to write {made.removed!r} again first" if made.removed else ""
    console.print(Text(f"format {made.format}, {counted}{healed}", style="dim"))
