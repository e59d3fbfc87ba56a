"""Position of a suggestion, and its rest while one types on."""

from dataclasses import dataclass, replace

from shardline.completion import Source, Suggestion
from shardline.completion.code import excerpt
from shardline.completion.code.syntax import PAIRS, QUOTES

SEEN_BEFORE, SEEN_BEHIND = 12_000, 4_000
"""Two places are compared by so many characters around the cursor: windows hold more of a document that has more."""

CLOSERS = {**PAIRS, **{quote: quote for quote in QUOTES}}
"""What editors put behind the cursor when the opening one is typed."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The cursor in a document, and the text around it as the model sees it; see `context.window`."""

    line: int
    column: int
    prefix: str
    suffix: str

    @classmethod
    def of(cls, source: Source) -> "Place":
        """Return the position of the cursor of `source`."""
        prefix, suffix = excerpt.window(source)
        return cls(line=source.line, column=source.column, prefix=prefix, suffix=suffix)


def rest(suggestion: Suggestion, made_for: Place, now: Place) -> Suggestion | None:
    """Return the rest of `suggestion` after typing from `made_for` to `now` agreed with it, else None.

    Brackets may have been typed over, or closed by the editor, meanwhile. It has no usage, because it costs nothing.
    """
    length = _length_typed(suggestion.text, made_for, now)
    if length is None:
        return None
    typed, text = suggestion.text[:length], suggestion.text[length:]
    if typed and not text:
        return None
    if (made_for.prefix + typed)[-SEEN_BEFORE:] != now.prefix[-SEEN_BEFORE:]:
        return None
    repeats = tuple(place - length for place in suggestion.repeats if place >= length)
    behind = made_for.suffix[len(suggestion.repeats) - len(repeats) :]
    closed = closed_by_editor(typed, behind, now.suffix)
    if closed is None:
        return None
    again = _places(closed, text)
    if repeats and (len(again) < len(closed) or (again and again[-1] >= repeats[0])):
        return None  # what it was to overwrite stands behind something else now
    return replace(suggestion, text=text, repeats=again + repeats, usage=None)


def agrees(text: str, made_for: Place, now: Place) -> bool:
    """Whether a text that is still being written at `made_for` may go on as one has typed from there to `now`."""
    if not now.prefix.startswith(made_for.prefix):
        return False
    typed = now.prefix[len(made_for.prefix) :]
    if not (text.startswith(typed) or typed.startswith(text)):
        return False
    if closed_by_editor(typed, made_for.suffix, now.suffix) is not None:
        return True
    over = len(made_for.suffix) - len(now.suffix)  # closing brackets that were typed over
    return over > 0 and made_for.suffix[over:] == now.suffix and made_for.suffix[:over] in typed


def closed_by_editor(typed: str, before: str, now: str) -> str | None:
    """Return the closing text that the editor put where `before` stood after `typed`; None if it put more."""
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


def _length_typed(text: str, made_for: Place, now: Place) -> int | None:
    """How much of `text` lies between the two places, if as much does."""
    at = 0
    for _ in range(now.line - made_for.line):
        at = text.find("\n", at) + 1
        if not at:
            return None
    length = at + now.column if at else now.column - made_for.column
    return length if now.line >= made_for.line and 0 <= length <= len(text) else None


def _places(closed: str, text: str) -> tuple[int, ...]:
    """Where `text` closes by itself what the editor has `closed`, as far as it does."""
    found: list[int] = []
    own: list[str] = []
    for at, character in enumerate(text):
        if len(found) == len(closed):
            break
        if own and character == own[-1]:
            own.pop()
        elif not own and character == closed[len(found)]:
            found.append(at)
        elif character in CLOSERS and closed[len(found)] not in QUOTES:  # within a string they are characters
            own.append(CLOSERS[character])
    return tuple(found)
