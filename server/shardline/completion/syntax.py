"""What a piece of code is made of: its brackets, and its strings and comments; by a grammar where there is one.

Without a grammar every bracket counts and nothing is a string.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser, Query, QueryCursor

from shardline.completion.languages import language

PAIRS = {"(": ")", "[": "]", "{": "}"}

_BRACKETS = re.compile(r"[$#\\%iw<>^]*[(\[{]+|[)\]}]+")
"""Tokens that open or close something, such as `${` or `((`."""
_TEXT = re.compile(r"string|comment|char_literal|character|heredoc|regex")


@dataclass(frozen=True)
class Bracket:
    """A bracket of the code, not one inside a string or comment."""

    at: int
    sign: str

    @property
    def opens(self) -> bool:
        """Whether it is an opening one."""
        return self.sign in PAIRS


class Syntax:
    """The brackets of `text`, and which of it is code."""

    def __init__(self, text: str, language_name: str) -> None:
        self._text = text
        self._language = language(language_name)
        self._data = text.encode("utf-8", "replace")
        self._ascii = len(self._data) == len(text)
        self.brackets: list[Bracket] = sorted(self._read_brackets(), key=lambda bracket: bracket.at)

    def in_text(self, at: int) -> bool:
        """Whether the line feed at `at` stands within a string or comment, one that is still open included."""
        if not self._language:
            return False
        byte = self._byte(at)
        return any(
            _covers(self._language.grammar, self._data + end.encode(), byte) for end in ("", *self._language.texts)
        )

    def kind_of_text(self, at: int) -> str | None:
        """Whether the place before the letter at `at` lies within a "string" or a "comment"."""
        if not self._language:
            return None
        byte = self._byte(at)
        for node in _capture(self._language.grammar, self._data, "text"):
            kind = "comment" if "comment" in node.type else "string"
            ends_behind = byte <= node.end_byte if kind == "comment" else byte < node.end_byte
            if node.start_byte < byte and ends_behind:
                return kind
        return None

    @property
    def length(self) -> int:
        """How many characters the text has."""
        return len(self._text)

    def pairs(self, begin: int, end: int) -> tuple[list[tuple[Bracket, Bracket | None]], list[Bracket]]:
        """The brackets from `begin` up to `end`: each closing one with what opened it, and those left open.

        What was opened before `begin` is None.
        """
        closed: list[tuple[Bracket, Bracket | None]] = []
        opened: list[Bracket] = []
        first, last = (bisect_left(self.brackets, place, key=lambda bracket: bracket.at) for place in (begin, end))
        for bracket in self.brackets[first:last]:
            if bracket.opens:
                opened.append(bracket)
            else:
                closed.append((bracket, opened.pop() if opened else None))
        return closed, opened

    def unmatched(self, begin: int, end: int) -> tuple[list[Bracket], list[Bracket]]:
        """Of the brackets from `begin` up to `end`: closing ones of what was opened before, and those left open."""
        closed, opened = self.pairs(begin, end)
        return [bracket for bracket, opener in closed if opener is None], opened

    def _byte(self, at: int) -> int:
        """Where in the data the character at `at` begins."""
        return at if self._ascii else len(self._text[:at].encode("utf-8", "replace"))

    def _read_brackets(self) -> Iterator[Bracket]:
        if self._language is None:
            yield from (Bracket(match.start(), match[0]) for match in re.finditer(r"[()\[\]{}]", self._text))
            return
        for token in _capture(self._language.grammar, self._data, "bracket"):
            first = token.start_byte
            start = first if self._ascii else len(self._data[:first].decode("utf-8", "replace"))
            signs = self._data[first : token.end_byte].decode()
            yield from (Bracket(start + offset, sign) for offset, sign in enumerate(signs) if sign in "()[]{}")


def _covers(grammar: Grammar, data: bytes, byte: int) -> bool:
    return any(node.start_byte < byte and byte + 1 < node.end_byte for node in _capture(grammar, data, "text"))


def _capture(grammar: Grammar, data: bytes, name: str) -> list[Node]:
    tree = Parser(grammar).parse(data)
    return QueryCursor(_query(grammar, name)).captures(tree.root_node).get(name, [])


@cache
def _query(grammar: Grammar, name: str) -> Query:
    """The query for all tokens that are brackets, or for all that hold text."""
    kinds = {
        kind: grammar.node_kind_is_named(number)
        for number in range(grammar.node_kind_count)
        if grammar.node_kind_is_visible(number) and (kind := grammar.node_kind_for_id(number))
    }
    if name == "bracket":
        wanted = [
            f'"{kind}"'.replace("\\", "\\\\")
            for kind, named in kinds.items()
            if not named and _BRACKETS.fullmatch(kind)
        ]
    else:
        wanted = [f"({kind})" for kind, named in kinds.items() if named and _TEXT.search(kind)]
    return Query(grammar, f"[{' '.join(wanted)}] @{name}")
