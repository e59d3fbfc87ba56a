"""Trimming of generated text to a text worth showing."""

from collections.abc import Sequence

from shardline.completion import Source
from shardline.completion.code import excerpt, indentation
from shardline.completion.code.brackets import balanced, is_between_brackets, repeats, without_overlap
from shardline.completion.code.style import style
from shardline.completion.code.syntax import kind_at_cursor, syntax_of

FENCE = "```"
"""How a model that was trained on chats ends its code; never code itself but in Markdown."""

MAX_REPEATS = 2
"""A line that follows itself more often than this is a model going in circles."""


def trim(source: Source, text: str) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
    """Drop what is not worth showing; returns the text, empty where nothing is left, what it repeats, and why.

    Dropped are white space at the end, what follows the cursor already in its line and below it, brackets that
    are closed below, lines that go in circles, and the fence at the end of a chat's code. Lines are indented as
    the document is. See `Suggestion.repeats`.
    """
    lines = _without_odd_space(source, text.rstrip()).split("\n")
    found = {
        "a fence, the end of a chat's code": _fence(source, lines),
        "lines that go in circles": _circle(source, lines),
        "the line that follows in the document": _what_follows(source, lines),
    }
    ends = {why: at for why, at in found.items() if at is not None}
    last = min(ends.values(), default=len(lines))
    cuts = [why for why, at in ends.items() if at == last]
    whole = "\n".join(lines[:last]).rstrip()
    text, behind = without_overlap(source, whole)
    if text != whole:
        cuts.append("what stands behind the cursor already")
    if "\n" in text and (wanted := style(source)):
        text = indentation.adapt(text, indentation.margin(source.before), wanted, _lines_in_text(source, text))
    repeated = repeats(source, text, behind)
    closed = balanced(source, text, len(repeated))
    if closed != text.rstrip():
        cuts.append("brackets that the document closes below")
    if not closed.strip():
        return "", (), tuple(cuts)
    if closed.startswith("\n") and is_between_brackets(source) and not repeated:
        closed = f"{closed.rstrip()}\n{indentation.margin(source.before)}"  # the bracket gets a line of its own
    return closed, tuple(at for at in repeated if at < len(closed)), tuple(cuts)


def _without_odd_space(source: Source, text: str) -> str:
    """Drop a single space before code: servers that see only text have cut it off the prompt, or doubled it."""
    if not text.startswith(" ") or text[1:2].isspace() or source.before[-1:] not in ("", " ", "\t"):
        return text
    before, after = excerpt.item(source)
    if not source.before.strip():
        syntax = syntax_of(before, source.language)
        _, is_open = syntax.unmatched(0, len(before))
        is_aligned = bool(is_open) and before[is_open[-1].at + 1 :].partition("\n")[0].strip() != ""
        if text.startswith(" *") or is_aligned:
            return text  # the star of a comment, or what stands below the first of a list
    in_text = syntax_of(before + "\n", source.language).in_text(len(before))
    return text if in_text or kind_at_cursor(before, after, source.language) else text[1:]


def _lines_in_text(source: Source, text: str) -> set[int]:
    """Return the indexes of the lines of `text` that begin in a string or comment: their white space is content."""
    before, _ = excerpt.item(source)
    first = before.count("\n")
    return {number - first for number in syntax_of(before + text, source.language).lines_in_text()}


def _fence(source: Source, lines: Sequence[str]) -> int | None:
    """Return the index of the first line that is a fence."""
    if source.language == "markdown":
        return None
    return next((number for number, line in enumerate(lines) if line.lstrip().startswith(FENCE)), None)


def _circle(source: Source, lines: Sequence[str]) -> int | None:
    """Return the index of the line that repeats a line, or a group of lines, once too often."""
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


def _what_follows(source: Source, lines: Sequence[str]) -> int | None:
    """Return the index of the first line that repeats the document's next line."""
    already = source.below
    if already is None or len(already.strip()) < 2:
        return None  # a lone bracket may well come twice
    first = source.before + lines[0]
    return next((number for number, line in enumerate([first, *lines[1:]]) if line.rstrip() == already), None)
