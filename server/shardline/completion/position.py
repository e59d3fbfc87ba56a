"""Cursor positions, and the rest of a suggestion after typing on."""

from dataclasses import dataclass, replace

from shardline.completion import Source, Suggestion
from shardline.completion.code import excerpt
from shardline.completion.code.syntax import PAIRS, QUOTES

SEEN_BEFORE, SEEN_BEHIND = 12_000, 4_000
"""Characters around the cursor that decide if two positions are equal: windows of longer documents hold more text."""

CLOSERS = {**PAIRS, **{quote: quote for quote in QUOTES}}
"""The sign that editors add behind the cursor, by the opening sign typed."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """The cursor in a document and the text around it that the model sees; see `excerpt.window`."""

    line: int
    column: int
    prefix: str
    suffix: str

    @classmethod
    def of(cls, source: Source) -> "Position":
        """Return the position of the cursor of `source`."""
        prefix, suffix = excerpt.window(source)
        return cls(line=source.line, column=source.column, prefix=prefix, suffix=suffix)


def rest(suggestion: Suggestion, made_for: Position, now: Position) -> Suggestion | None:
    """Return the rest of `suggestion` after its beginning was typed from `made_for` to `now`, or None.

    Brackets may have been typed over, or closed by the editor, meanwhile. The rest has no usage: it costs nothing.
    """
    length = _length_typed(suggestion.text, made_for, now)
    if length is None:
        return None
    typed, text = suggestion.text[:length], suggestion.text[length:]
    if typed and not text:
        return None
    if (made_for.prefix + typed)[-SEEN_BEFORE:] != now.prefix[-SEEN_BEFORE:]:
        return None
    repeats = tuple(at - length for at in suggestion.repeats if at >= length)
    behind = made_for.suffix[len(suggestion.repeats) - len(repeats) :]
    closed = closed_by_editor(typed, behind, now.suffix)
    if closed is None:
        return None
    again = _own_closers(closed, text)
    if repeats and (len(again) < len(closed) or (again and again[-1] >= repeats[0])):
        return None  # the brackets to overwrite no longer follow the cursor
    return replace(suggestion, text=text, repeats=again + repeats, usage=None)


def agrees(text: str, made_for: Position, now: Position) -> bool:
    """Return whether an unfinished `text` at `made_for` agrees with what was typed from there to `now`."""
    if not now.prefix.startswith(made_for.prefix):
        return False
    typed = now.prefix[len(made_for.prefix) :]
    if not (text.startswith(typed) or typed.startswith(text)):
        return False
    if closed_by_editor(typed, made_for.suffix, now.suffix) is not None:
        return True
    over = len(made_for.suffix) - len(now.suffix)  # closing brackets typed over
    return over > 0 and made_for.suffix[over:] == now.suffix and made_for.suffix[:over] in typed


def closed_by_editor(typed: str, before: str, now: str) -> str | None:
    """Return what the editor added in front of `before` to close what was `typed`; None if more than that changed."""
    still_open: list[str] = []
    for character in typed:
        if still_open and character == still_open[-1]:
            still_open.pop()
        elif character in CLOSERS:
            still_open.append(CLOSERS[character])
    closers = "".join(reversed(still_open))
    for count in range(len(closers) + 1):
        if now.startswith(closers[:count]) and now[count : count + SEEN_BEHIND] == before[:SEEN_BEHIND]:
            return closers[:count]
    return None


def _length_typed(text: str, made_for: Position, now: Position) -> int | None:
    """Return how many characters of `text` lie between the two positions, or None."""
    at = 0
    for _ in range(now.line - made_for.line):
        at = text.find("\n", at) + 1
        if not at:
            return None
    length = at + now.column if at else now.column - made_for.column
    return length if now.line >= made_for.line and 0 <= length <= len(text) else None


def _own_closers(closed: str, text: str) -> tuple[int, ...]:
    """Return the indices at which `text` itself closes what the editor has `closed`."""
    found: list[int] = []
    own: list[str] = []
    for at, character in enumerate(text):
        if len(found) == len(closed):
            break
        if own and character == own[-1]:
            own.pop()
        elif not own and character == closed[len(found)]:
            found.append(at)
        elif character in CLOSERS and closed[len(found)] not in QUOTES:  # within a string they close nothing
            own.append(CLOSERS[character])
    return tuple(found)
