"""Truncation of a suggestion to its line, statement or block."""

import re
from collections.abc import Sequence

from shardline.completion import Source
from shardline.completion.code import brackets, excerpt
from shardline.completion.code.indentation import width
from shardline.completion.code.languages import language
from shardline.completion.code.syntax import PROSE, Syntax, syntax_of
from shardline.settings import CompletionSettings

OPENERS = ("(", "[", "{", ":", "=>", "->", " then", " do", "else", "begin")
"""Line ends that open a block."""

BRANCHES = frozenset(["and", "catch", "elif", "else", "elseif", "elsif", "ensure", "except", "finally", "or", "rescue"])
"""Words that continue the statement above, at its indentation."""

ENDS = frozenset(["done", "end", "esac", "fi", "until"])
"""Words that close the statement above and belong to it."""

SIGNS = ("{", ".", "&&", "||", "|>", "?.")
"""Signs at the start of a line that continue the statement above."""

GAP = "\n\n\n"
"""Two blank lines never stand inside a statement."""

_WORD = re.compile(r"\w*")


def is_single_line(source: Source, options: CompletionSettings) -> bool:
    """Return whether to complete only the line.

    With `completion.multiline` auto: if the line goes on behind the cursor, or if the block it opens exists already.
    The closing brackets around the cursor do not count.
    """
    if options.multiline != "auto":
        return options.multiline == "never"
    below = source.below
    if brackets.is_between_brackets(source):
        return False
    return bool(source.after.strip() or (source.before.strip() and below and width(below) > width(source.before)))


def stop_sequences(source: Source, options: CompletionSettings) -> tuple[str, ...]:
    """Return the stop sequences for this cursor."""
    return ("\n",) if is_single_line(source, options) else (GAP,)


class EndFinder:
    """A search for the end of one suggestion while it is generated.

    The statement begins at `_start`, in a line indented by `_base`. It goes on while a bracket or string is open,
    lines are indented more, or words like else continue it. In an empty block, the statement is the block's own.
    """

    def __init__(self, source: Source, options: CompletionSettings) -> None:
        self._max_lines = options.max_lines
        self._language = source.language
        found = language(source.language)
        self._notes: Sequence[str] = found.notes if found else ()
        self._before, self._after = _surroundings(source)
        self._start = self._before.rfind("\n") + 1
        self._base = width(source.before)
        self._may_close = brackets.left_open(source) > 0
        opening = _opening(source, self._before)
        self._in_block = opening is not None
        self._is_between_brackets = brackets.is_between_brackets(source)
        self._is_prose = source.language.lower() in PROSE
        self._margin = width(source.before)
        if opening is not None:
            self._start = opening
            self._base = width(self._before[opening:])
        self._is_within_text = self._is_closed_behind()
        self._line_is_blank = not source.before.strip()
        self._next = 0
        """The index in the text from which to search for the next line end."""

    def find(self, text: str, *, finished: bool = False) -> int | None:
        """Return the index where `text` ends, or None while it may go on.

        Each call's `text` extends the last call's; `finished` says that no more will come.
        """
        ends = (self._of_statement(text, finished), _of_lines(text, self._max_lines))
        return min((at for at in ends if at is not None), default=None)

    def _of_statement(self, text: str, finished: bool) -> int | None:
        while (at := text.find("\n", self._next)) >= 0:
            begin, following = _next_line(text, at)
            if "\n" in text[at + 1 : begin + 1] and self._is_simple(text, at):
                return at  # a blank line ends a statement without a block
            if not following:
                return None
            if not (finished or width(following) < self._base or _shows_its_first_word(following)):
                return None
            if self._ends(text, at, begin, following):
                return at
            self._next = begin
        return None

    def _ends(self, text: str, at: int, begin: int, following: str) -> bool:
        """Return whether the line that ends at `at` completes the statement, given the following line."""
        deep = width(following)
        if self._is_in_text(text, at) and not self._is_within_text:
            return False
        if not text[:at].strip() and not self._in_block and (self._line_is_blank or deep <= self._base):
            ends = deep < self._base  # else the cursor's line stays as it is, and a new statement begins
            self._start, self._base = len(self._before) + begin, deep
            return ends
        if self._is_prose:
            return not self._line_is_blank or deep < self._margin
        if self._is_between_brackets and self._has_closed(text, at):
            return True
        if deep > self._base:
            return begin > at + 1 and self._ends_a_part(text, at, deep)
        closes, is_open = self._brackets(text, at)
        if is_open or closes:
            return not is_open
        if following.lstrip()[0] in excerpt.CLOSING:
            return not self._may_close
        if deep < self._base:
            return True
        word = _first_word(following)
        if word in ENDS or (word in BRANCHES and not self._in_block):
            return False
        if following.lstrip().startswith(SIGNS) and not text[:at].rstrip().endswith((";", "}")):
            return False
        return not self._is_note(text, at)

    def _ends_a_part(self, text: str, at: int, deep: int) -> bool:
        """Return whether the blank line after `at` separates two parts of the block, such as two methods."""
        last = (self._before + text[:at]).rpartition("\n")[2]
        ends_it = last.lstrip().startswith(tuple(excerpt.CLOSING)) or _first_word(last) in ENDS
        return self._in_block and (width(last) > deep or (width(last) == deep and ends_it))

    def _is_simple(self, text: str, at: int) -> bool:
        """Return whether the lines up to `at` are a whole statement without a block."""
        if not text[:at].strip():
            return False
        if self._is_prose:
            return True
        lines = (self._before + text[:at])[self._start :].split("\n")
        has_block = any(width(line) > self._base for line in lines if line.strip())
        return not (has_block or _opens(lines[-1]) or self._brackets(text, at)[1])

    def _brackets(self, text: str, at: int) -> tuple[bool, bool]:
        """Return whether the statement closes brackets opened before it, and whether it leaves any open."""
        syntax = self._syntax(text, at)
        end = len(self._before) + at
        closing, opened = syntax.unmatched(self._start, end)
        return bool(closing), bool(opened) or (syntax.in_text(end) and not self._is_within_text)

    def _has_closed(self, text: str, at: int) -> bool:
        """Return whether the suggestion closes a bracket that the document opens before the cursor."""
        return bool(self._syntax(text, at).unmatched(len(self._before), len(self._before) + at)[0])

    def _is_in_text(self, text: str, at: int) -> bool:
        """Return whether the line feed at `at` is inside a string or comment."""
        return self._syntax(text, at).in_text(len(self._before) + at)

    def _is_closed_behind(self) -> bool:
        """Return whether the statement is inside a string or comment that ends behind the cursor."""
        if not self._start or not self._syntax("", 0).in_text(self._start - 1):
            return False
        whole = self._before + self._after + "\n"
        return not syntax_of(whole, self._language).in_text(len(whole) - 1)

    def _syntax(self, text: str, at: int) -> Syntax:
        """Return the syntax of the code up to `at`, the end of a line."""
        return syntax_of(self._before + text[: at + 1], self._language)

    def _is_note(self, text: str, at: int) -> bool:
        """Return whether the statement so far is only comments and decorators."""
        lines = (self._before + text[:at])[self._start :].split("\n")
        if self._notes:
            return all(line.lstrip().startswith(tuple(self._notes)) for line in lines)
        begin, syntax = self._start, self._syntax(text, at)
        for line in lines:
            first = begin + len(line) - len(line.lstrip())
            is_comment = syntax.kind_of_text(first + 1) == "comment"
            if line.strip() and not (is_comment and (line.lstrip().startswith("*") or not syntax.kind_of_text(first))):
                return False  # a multi-line string at the left margin is no comment
            begin += len(line) + 1
        return True


def _surroundings(source: Source) -> tuple[str, str]:
    """Return the text around the cursor: its item, or its window at the left margin of a string."""
    before, after = excerpt.item(source)
    if not before:
        far_before, far_after = excerpt.window(source)
        at = len(far_before) - 1
        if far_before.endswith("\n") and syntax_of(far_before, source.language).in_text(at):
            return far_before, far_after
    return before, after


def whole_lines(text: str) -> str:
    """Return `text` without its last, unfinished line; a single line stays as it is."""
    return text.rpartition("\n")[0] if "\n" in text.lstrip("\n") else text


def _of_lines(text: str, max_lines: int) -> int | None:
    """Return the end of the last line allowed, counted from the first that is not blank, or None."""
    at = len(text) - len(text.lstrip("\n"))
    for _ in range(max_lines):
        at = text.find("\n", at) + 1
        if not at:
            return None
    return at - 1


def _opening(source: Source, before: str) -> int | None:
    """Return the index in `before` of the line that opens the cursor's block, if the block is empty."""
    if source.before.strip():
        return None
    end = before.rfind("\n")
    above = before[: max(end, 0)].rstrip()
    start = above.rfind("\n") + 1
    line = above[start:]
    if not line or not (width(line) < width(source.before) or _opens(line)):
        return None
    below = source.below
    return None if below and width(below) > width(line) else start


def _next_line(text: str, at: int) -> tuple[int, str]:
    """Return the index of the first line after `at` that is not blank, and the text from there on."""
    rest = text[at + 1 :]
    content = rest.lstrip()
    begin = at + 1 + rest.rfind("\n", 0, len(rest) - len(content)) + 1
    return begin, text[begin:] if content else ""


def _shows_its_first_word(line: str) -> bool:
    content = line.lstrip()
    return "\n" in content or len(content) > max(len(_first_word(line)), 1)


def _first_word(line: str) -> str:
    found = _WORD.match(line.lstrip())
    return found[0] if found else ""


def _opens(line: str) -> bool:
    return line.rstrip().endswith(OPENERS)
