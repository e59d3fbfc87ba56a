"""Brackets and quotes that already stand behind the cursor, most often because the editor closed them."""

from shardline.completion import Source, context
from shardline.completion.syntax import Syntax

QUOTES = "\"'`"
CLOSED_BY_EDITORS = frozenset(context.CLOSING + QUOTES + ">;,:")


def without_overlap(source: Source, text: str) -> str:
    """Take off the end of `text` what stands behind the cursor already, unless `text` needs it for itself."""
    after = source.after.rstrip()
    if not after:
        return text
    openers = _openers(source, text)
    for length in range(min(len(after), len(text)), 0, -1):
        at = len(text) - length
        if text[at:] != after[:length] or not _between_words(text, after, length):
            continue
        closes_own = any(0 <= openers.get(place, at) < at for place in range(at, len(text)))
        tears_string = any(quote in text[at:] and text[:at].count(quote) % 2 for quote in QUOTES)
        if not closes_own and not tears_string:
            return text[:at]
    return text


def repeats(source: Source, text: str) -> tuple[int, ...]:
    """The places in `text` of what stands behind the cursor, where that is nothing but what editors close."""
    after = source.after.rstrip()
    if not after or not CLOSED_BY_EDITORS.issuperset(after):
        return ()
    openers = _openers(source, text)
    found: list[int] = []
    for at, sign in enumerate(text):
        if len(found) == len(after):
            break
        if sign != after[len(found)] or (sign in QUOTES and text.count(sign) % 2 == 0):
            continue
        if sign not in context.CLOSING or openers.get(at) == BEFORE:
            found.append(at)
    return tuple(found)


def balanced(source: Source, text: str, replaces: int) -> str:
    """Cut `text` before the first bracket that closes what the document closes itself behind the cursor."""
    before, after = context.item(source)
    syntax = Syntax(before + text + after[replaces:], source.language)
    begin, end = len(before), len(before) + len(text)
    closing, _ = syntax.unmatched(begin, end)
    allowed = _left_open(syntax, begin, end)
    return text[: closing[allowed].at - begin].rstrip() if len(closing) > allowed else text


def left_open(source: Source) -> int:
    """How many brackets are open at the cursor that nothing behind it closes."""
    before, after = context.item(source)
    return _left_open(Syntax(before + after, source.language), len(before), len(before))


def _left_open(syntax: Syntax, begin: int, end: int) -> int:
    _, is_open = syntax.unmatched(0, begin)
    closed_behind, _ = syntax.unmatched(end, syntax.length)
    return max(0, len(is_open) - len(closed_behind))


BEFORE = -1


def _openers(source: Source, text: str) -> dict[int, int]:
    """For each closing bracket in `text`, by its place, the place of its opening one; `BEFORE` where that is before."""
    before, _ = context.item(source)
    syntax = Syntax(before + text, source.language)
    closed, _ = syntax.pairs(len(before), len(before) + len(text))
    return {
        bracket.at - len(before): BEFORE if opener is None else opener.at - len(before) for bracket, opener in closed
    }


def _between_words(text: str, after: str, length: int) -> bool:
    """Whether the last `length` letters of `text`, the first of `after`, are whole words."""
    at = len(text) - length
    begins_inside = at > 0 and _is_word(text[at - 1]) and _is_word(text[at])
    ends_inside = length < len(after) and _is_word(after[length - 1]) and _is_word(after[length])
    return not (begins_inside or ends_inside)


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"
