"""Brackets, strings and comments of languages without a grammar, by Pygments.

Without a lexer, as for plain text, nothing is code.
"""

import re
import typing
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import groupby

from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class_by_name, find_lexer_class_for_filename
from pygments.token import Comment, Generic, Literal, String, Text, _TokenType
from pygments.util import ClassNotFound

ALIASES = {
    "astro": "html",
    "commonlisp": "common-lisp",
    "fsharp": "f#",
    "git-commit": "text",
    "gitcommit": "text",
    "gradle": "groovy",
    "objc": "objective-c",
    "objcpp": "objective-c++",
    "plaintex": "tex",
    "plaintext": "text",
    "proto": "protobuf",
    "proto3": "protobuf",
    "ps1": "powershell",
    "svelte": "vue",
    "terraform-vars": "terraform",
    "viml": "vim",
}
"""Pygments' names for languages, by the editors' other names."""

ONLY_BRACES = frozenset(["bibtex", "latex", "plaintex", "tex"])
"""In these languages `(` and `[` need no closing bracket: an interval may be `]0, 1[`."""

SENTINEL = "x\n"
"""Text lexed after the code: it becomes a string if the code leaves one open."""

ENDS = (
    *(('"""', '"""'), ("'''", "'''"), ('"', '"')),
    *(("/*", "*/"), ("(*", "*)"), ("<!--", "-->")),
)
"""The begin and end of multi-line strings and comments; some lexers recognize only closed ones."""

_SIGNS = re.compile(r"[()\[\]{}]")
_CODE_IN_TEXT = (Comment.Preproc, Comment.PreprocFile, String.Interpol)
"""Directives and interpolated code."""
_TEXT = (Comment, String)
_PROSE = (*_TEXT, Text, Generic, Literal.Scalar)


TextKind = typing.Literal["string", "comment"]


class LexedText:
    """The tokens of `text` in the language that editors call `language`."""

    def __init__(self, text: str, language: str) -> None:
        self._text = text
        self._language = language
        self._signs = "{}" if language in ONLY_BRACES else "()[]{}"
        found = _lexer(language)
        tokens = found.get_tokens_unprocessed(text + SENTINEL) if found else ()
        self._tokens: list[tuple[int, _TokenType, str]] = [token for token in tokens if token[2]]
        self._starts = [start for start, _, _ in self._tokens]

    def brackets(self) -> Iterator[tuple[int, str]]:
        """Yield the index and the sign of each bracket of the code."""
        for start, kind, value in self._tokens:
            if _is(kind, *_CODE_IN_TEXT) or not _is(kind, *_PROSE):
                for found in _SIGNS.finditer(value):
                    at = start + found.start()
                    if found[0] in self._signs and at < len(self._text):
                        yield at, found[0]

    def texts(self) -> Iterator[tuple[int, int]]:
        """Yield the begin and end of strings and comments; adjacent ones are merged."""
        for is_text, group in groupby(
            self._tokens, lambda token: _is(token[1], *_TEXT) and not _is(token[1], *_CODE_IN_TEXT)
        ):
            if is_text:
                tokens = list(group)
                yield tokens[0][0], tokens[-1][0] + len(tokens[-1][2])

    def in_text(self, at: int) -> bool:
        """Return whether the line feed at `at` is inside a string or comment, closed or not."""
        if self._holds(at):
            return True
        ends = (end for begin, end in ENDS if self._is_odd(begin, end))
        return any(LexedText(f"{self._text}\n{end}", self._language)._holds(at) for end in ends)  # noqa: SLF001  our own

    def _is_odd(self, begin: str, end: str) -> bool:
        count = self._text.count(begin)
        return count % 2 == 1 if begin == end else count > self._text.count(end)

    def _holds(self, at: int) -> bool:
        """Return whether one string or comment contains the line feed at `at` and the character after it."""
        (start, kind, value), (_, behind, _) = self._token(at), self._token(at + 1)
        if _is(kind, Text.Whitespace):  # some lexers split a string at its line feeds
            before = self._token(start - 1)[1]
            return _is(before, String.Heredoc) and _is(self._token(start + len(value))[1], String.Heredoc)
        if _is(kind, String):
            return _is(behind, String)
        if _is(kind, Comment.Multiline):
            return _is(behind, Comment.Multiline)
        return kind is Comment and at + 1 < start + len(value)  # one token may hold a whole block comment

    def kind_of_text(self, at: int) -> TextKind | None:
        """Return the kind of text in front of the character at `at`; None for code."""
        (start, kind, value), (behind, following, _) = self._token(at - 1), self._token(at)
        if _is(kind, *_CODE_IN_TEXT):
            return None
        if _is(kind, Comment):
            return None if self._text[at - 1 : at] == "\n" and not self.in_text(at - 1) else "comment"
        goes_on = start + len(value) > at or (behind == at and _is(following, String))
        return "string" if _is(kind, String) and goes_on else None

    def _token(self, at: int) -> tuple[int, _TokenType, str]:
        """Return the token at `at`, or a blank one."""
        index = bisect_right(self._starts, at) - 1
        return self._tokens[index] if index >= 0 else (at, Text, " ")


@cache
def _is(kind: _TokenType, *groups: _TokenType) -> bool:
    """Return whether a token kind belongs to one of `groups`; a kind is its path from the root."""
    return any(kind[: len(group)] == group[:] for group in groups)


@cache
def _lexer(language: str) -> Lexer | None:
    name = ALIASES.get(language, language)
    try:
        return find_lexer_class_by_name(name)()
    except ClassNotFound:
        found = find_lexer_class_for_filename(f"x.{name}")  # the command line names languages by endings
        return found() if found else None
