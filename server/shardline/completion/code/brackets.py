"""Brackets and quotes that already follow the cursor."""

import re

from shardline.completion import Source
from shardline.completion.code import excerpt
from shardline.completion.code.syntax import PAIRS, QUOTES, Syntax, syntax_of

CLOSED_BY_EDITORS = frozenset(excerpt.CLOSING + QUOTES + ">;,:")
MATH = frozenset(["latex", "markdown", "plaintex", "quarto", "tex", "typst"])
"""Languages with formulas between dollar signs."""

_ANGLE = re.compile(r"(?<![-=])>")
"""A closing angle bracket, but no arrow."""


def without_overlap(source: Source, text: str) -> tuple[str, str]:
    """Return `text` without the end that already follows the cursor, unless `text` needs that itself.

    Also return what else follows the cursor and may occur in `text`; see `repeats`.
    """
    after = source.after.rstrip()
    if not after:
        return text, ""
    is_closed = CLOSED_BY_EDITORS.issuperset(after)
    for length in range(min(len(after), len(text)), 0, -1):
        at = len(text) - length
        if text[at:] == after[:length] and _is_free(source, text, at) and _between_words(text, after, length):
            return text[:at], after if is_closed else ""
    if is_closed:
        return text, after
    for length in range(1, len(after)):
        head, tail = after[:length], after[length:]
        if not CLOSED_BY_EDITORS.issuperset(head):
            break
        at = len(text) - len(tail)
        if text.endswith(tail) and _is_free(source, text, at) and len(repeats(source, text[:at], head)) == length:
            return text[:at], head
    closing = _closing(source, text, after)
    return (text if closing is None else text[:closing].rstrip()), ""


def is_between_brackets(source: Source) -> bool:
    """Return whether the cursor is in empty brackets, followed only by what editors close."""
    opener, after = source.before[-1:], source.after.rstrip()
    closes = PAIRS.get(opener)
    return closes is not None and after.startswith(closes) and CLOSED_BY_EDITORS.issuperset(after)


def balanced(source: Source, text: str, replaces: int) -> str:
    """Return `text` up to the first bracket whose opener the document itself closes behind the cursor."""
    before, after = excerpt.item(source)
    syntax = syntax_of(before + text + after[replaces:], source.language)
    begin, end = len(before), len(before) + len(text)
    closing, _ = syntax.unmatched(begin, end)
    allowed = _left_open(syntax, begin, end)
    return text[: closing[allowed].at - begin].rstrip() if len(closing) > allowed else text


def left_open(source: Source) -> int:
    """Return how many brackets open at the cursor stay open behind it."""
    before, after = excerpt.item(source)
    return _left_open(syntax_of(before + after, source.language), len(before), len(before))


def _left_open(syntax: Syntax, begin: int, end: int) -> int:
    _, is_open = syntax.unmatched(0, begin)
    closed_behind, _ = syntax.unmatched(end, syntax.length)
    return max(0, len(is_open) - len(closed_behind))


BEFORE = -1


def _openers(source: Source, text: str) -> dict[int, int]:
    """Return the index of the opener for each closing bracket in `text`; `BEFORE` if that precedes `text`."""
    before, _ = excerpt.item(source)
    syntax = syntax_of(before + text, source.language)
    closed, _ = syntax.pairs(len(before), len(before) + len(text))
    return {
        bracket.at - len(before): BEFORE if opener is None else opener.at - len(before) for bracket, opener in closed
    }


def repeats(source: Source, text: str, behind: str) -> tuple[int, ...]:
    """Return the indices of the signs of `behind` in `text`, in order, each closing what the document opened."""
    if not behind:
        return ()
    openers, own = _openers(source, text), _own_pairs(text)
    is_code = _is_code_behind(source)
    found: list[int] = []
    for at, sign in enumerate(text):
        if len(found) == len(behind):
            break
        if sign in QUOTES:
            is_own = _is_escaped(text, at) or _count(text, sign) % 2 == 0
        elif sign in excerpt.CLOSING:
            is_own = openers.get(at) != BEFORE if is_code else at in own
        else:
            is_own = False
        if sign == behind[len(found)] and not is_own:
            found.append(at)
    return tuple(found)


def _is_code_behind(source: Source) -> bool:
    """Return whether the bracket behind the cursor is code, outside strings, comments and prose."""
    before, after = excerpt.item(source)
    at = len(before) + len(after) - len(after.lstrip())
    return any(bracket.at == at for bracket in syntax_of(before + after, source.language).brackets)


def _is_free(source: Source, text: str, at: int) -> bool:
    """Return whether `text` closes its own brackets and strings without its part from `at` on."""
    own, openers = _own_pairs(text), _openers(source, text)
    closes_own = any(0 <= openers.get(index, own.get(index, at)) < at for index in range(at, len(text)))
    tears_string = any(quote in text[at:] and _count(text[:at], quote) % 2 for quote in QUOTES)
    return not closes_own and not tears_string


def _closing(source: Source, text: str, after: str) -> int | None:
    """Return the index in `text` of the sign that closes what the first sign of `after` closes, or None."""
    sign, line = after[0], source.before
    if sign in excerpt.CLOSING:
        openers = _openers(source, text)
        return next((at for at, other in enumerate(text) if other == sign and openers.get(at) == BEFORE), None)
    if sign in QUOTES or (sign == "$" and source.language.lower() in MATH):
        signs = (at for at, other in enumerate(text) if other == sign and not _is_escaped(text, at))
        return next(signs, None) if _count(line, sign) % 2 else None
    if sign == ">" and "<" in line[line.rfind(">") + 1 :]:
        return next((found.start() for found in _ANGLE.finditer(text) if _count_open(text[: found.start()]) == 0), None)
    return None


def _count_open(text: str) -> int:
    """Return how many angle brackets `text` leaves open."""
    return text.count("<") - len(_ANGLE.findall(text))


def _own_pairs(text: str) -> dict[int, int]:
    """Return the index of the opener for each closing bracket that `text` opens itself, in strings too."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for at, sign in enumerate(text):
        if sign in PAIRS:
            opened.append(at)
        elif sign in excerpt.CLOSING and opened and PAIRS[text[opened[-1]]] == sign:
            pairs[at] = opened.pop()
    return pairs


def _count(text: str, quote: str) -> int:
    """Return how many unescaped `quote` signs `text` has."""
    return sum(sign == quote and not _is_escaped(text, at) for at, sign in enumerate(text))


def _is_escaped(text: str, at: int) -> bool:
    return (at - len(text[:at].rstrip("\\"))) % 2 == 1


def _between_words(text: str, after: str, length: int) -> bool:
    """Return whether the last `length` characters of `text`, the first of `after`, are whole words."""
    at = len(text) - length
    begins_inside = at > 0 and _is_word(text[at - 1]) and _is_word(text[at])
    ends_inside = length < len(after) and _is_word(after[length - 1]) and _is_word(after[length])
    return not (begins_inside or ends_inside)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
