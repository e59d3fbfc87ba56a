"""Trimming of generated text to what is worth showing."""

from collections.abc import Sequence

from shardline.completion import Cut, Source
from shardline.completion.code import excerpt, indentation
from shardline.completion.code.brackets import balanced, is_between_brackets, repeats, without_overlap
from shardline.completion.code.style import style
from shardline.completion.code.syntax import kind_at_cursor, syntax_of

FENCE = "```"
"""The end of the code of chat models; outside Markdown it is never code."""

MAX_REPEATS = 2
"""A line repeated more often than this is a loop of the model."""


def trim(source: Source, text: str) -> tuple[str, tuple[int, ...], tuple[Cut, ...]]:
    """Return the text worth showing, perhaps empty, its `Suggestion.repeats`, and what was cut.

    Cuts trailing white space, text that already follows the cursor, and brackets that the document closes below. Cuts
    repeated lines and the fence at the end of a chat's code. Adapts the indentation to the document's.
    """
    lines = _without_odd_space(source, text.rstrip()).split("\n")
    found = {
        Cut.FENCE: _fence(source, lines),
        Cut.LOOP: _loop(source, lines),
        Cut.NEXT_LINE: _next_line(source, lines),
    }
    ends = {why: at for why, at in found.items() if at is not None}
    last = min(ends.values(), default=len(lines))
    cuts = [why for why, at in ends.items() if at == last]
    whole = "\n".join(lines[:last]).rstrip()
    text, behind = without_overlap(source, whole)
    if text != whole:
        cuts.append(Cut.OVERLAP)
    if "\n" in text and (wanted := style(source)):
        text = indentation.adapt(text, indentation.margin(source.before), wanted, _lines_in_text(source, text))
    repeated = repeats(source, text, behind)
    closed = balanced(source, text, len(repeated))
    if closed != text.rstrip():
        cuts.append(Cut.BRACKETS)
    if not closed.strip():
        return "", (), tuple(cuts)
    if closed.startswith("\n") and is_between_brackets(source) and not repeated:
        closed = f"{closed.rstrip()}\n{indentation.margin(source.before)}"
    return closed, tuple(at for at in repeated if at < len(closed)), tuple(cuts)


def _without_odd_space(source: Source, text: str) -> str:
    """Drop a single space before code: servers that see only text cut it off the prompt, or double it."""
    if not text.startswith(" ") or text[1:2].isspace() or source.before[-1:] not in ("", " ", "\t"):
        return text
    before, after = excerpt.item(source)
    if not source.before.strip():
        syntax = syntax_of(before, source.language)
        _, is_open = syntax.unmatched(0, len(before))
        is_aligned = bool(is_open) and before[is_open[-1].at + 1 :].partition("\n")[0].strip() != ""
        if text.startswith(" *") or is_aligned:
            return text  # the star of a comment, or a line aligned with the first item
    in_text = syntax_of(before + "\n", source.language).in_text(len(before))
    return text if in_text or kind_at_cursor(before, after, source.language) else text[1:]


def _lines_in_text(source: Source, text: str) -> set[int]:
    """Return the numbers of the lines of `text` that begin inside a string or comment: their white space is content."""
    before, _ = excerpt.item(source)
    first = before.count("\n")
    return {number - first for number in syntax_of(before + text, source.language).lines_in_text()}


def _fence(source: Source, lines: Sequence[str]) -> int | None:
    """Return the number of the first line that is a fence."""
    if source.language == "markdown":
        return None
    return next((number for number, line in enumerate(lines) if line.lstrip().startswith(FENCE)), None)


def _loop(source: Source, lines: Sequence[str]) -> int | None:
    """Return the number of the line that begins the second repetition of one or more lines."""
    lines = [source.before + lines[0], *lines[1:]]
    for number in range(1, len(lines)):
        for size in range(1, number // MAX_REPEATS + 1):
            group = lines[number - size + 1 : number + 1]
            before = lines[: number - size + 1]
            if any(line.strip() for line in group) and all(
                before[len(before) - size * (turn + 1) : len(before) - size * turn] == group
                for turn in range(MAX_REPEATS)
            ):
                return number + 1 - MAX_REPEATS * size
    return None


def _next_line(source: Source, lines: Sequence[str]) -> int | None:
    """Return the number of the first line that equals the document's next line."""
    already = source.below
    if already is None or len(already.strip()) < 2:
        return None  # a lone bracket often comes twice
    first = source.before + lines[0]
    return next((number for number, line in enumerate([first, *lines[1:]]) if line.rstrip() == already), None)
