"""Brackets, strings and comments of code, by grammar or lexer."""

import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser, Query, QueryCursor, Tree

from shardline.completion.code import heredoc, shell
from shardline.completion.code.languages import language
from shardline.completion.code.lexer import LexedText, TextKind

QUOTES = "\"'`"
PAIRS = {"(": ")", "[": "]", "{": "}"}

PROSE = frozenset(
    (
        *("asciidoc", "git-commit", "gitcommit", "latex", "markdown", "org", "plaintex", "plaintext"),
        *("quarto", "restructuredtext", "rst", "tex", "text", "typst"),
    )
)
"""Languages of prose."""

_BRACKETS = re.compile(r"[$#\\%iw<>^]*[(\[{]+|[)\]}]+")
"""Bracket tokens, such as `${` or `((`."""
_TEXT = re.compile(r"string|comment|char_literal|character|heredoc|regex")


@dataclass(frozen=True)
class Bracket:
    """A bracket of the code, outside strings and comments."""

    at: int
    sign: str

    @property
    def opens(self) -> bool:
        """Whether it is an opening bracket."""
        return self.sign in PAIRS


class Syntax:
    """The brackets, strings and comments of `text`."""

    def __init__(self, text: str, language_name: str) -> None:
        self._text = text
        self._name = language_name.lower()
        self._language = language(language_name)
        self._data = text.encode("utf-8", "replace")
        self._ascii = len(self._data) == len(text)
        self._lexed = None if self._language else LexedText(text, self._name)

    @cached_property
    def brackets(self) -> list[Bracket]:
        """The brackets of the code, in order."""
        brackets = sorted(self._read_brackets(), key=lambda bracket: bracket.at)
        is_shell = self._language is not None and self._language.name == "shellscript"
        return _without_arms(brackets, self._text) if is_shell else brackets

    def in_text(self, at: int) -> bool:
        """Return whether the line feed at `at` is inside a string or comment, closed or not."""
        if heredoc.in_heredoc(self._text, at, self._language.name if self._language else self._name):
            return True
        if self._lexed:
            return self._lexed.in_text(at)
        if not self._language:
            return False
        byte = self._byte(at)
        grammar = self._language.grammar
        return any(node.start_byte < byte and byte + 1 < node.end_byte for node in self._text_nodes) or any(
            _covers(grammar, self._data + end.encode(), byte) for end in self._language.texts
        )

    def kind_of_text(self, at: int) -> TextKind | None:
        """Return the kind of text in front of the character at `at`; None for code."""
        if self._lexed:
            return self._lexed.kind_of_text(at)
        if not self._language:
            return None
        byte = self._byte(at)
        for node in self._text_nodes:
            kind: TextKind = "comment" if "comment" in node.type else "string"
            ends_behind = byte <= node.end_byte if kind == "comment" else byte < node.end_byte
            if node.start_byte < byte and ends_behind:
                return kind
        return None

    def lines_in_text(self) -> set[int]:
        """Return the numbers of the lines that begin inside a string or comment."""
        return self._lines_within(self._lexed.texts() if self._lexed else self._texts())

    def continued_lines(self) -> set[int]:
        """Return the numbers of the lines that begin inside a string, a comment, `(` or `[`, or after a backslash.

        Their indentation says nothing about blocks.
        """
        spans: list[tuple[int, int]] = []
        opened: list[Bracket] = []
        for bracket in self.brackets:
            if bracket.opens:
                opened.append(bracket)
            elif opened and (last := opened.pop()).sign != "{":
                spans.append((last.at, bracket.at))
        spans += [(bracket.at, len(self._text) + 1) for bracket in opened if bracket.sign != "{"]
        escaped = {number for number, start in enumerate(self._starts) if self._text.endswith("\\\n", 0, start)}
        return self.lines_in_text() | self._lines_within(spans) | escaped

    @cached_property
    def _tree(self) -> Tree:
        """The syntax tree, by the grammar of the language."""
        if self._language is None:
            raise LookupError("The language has no grammar.")
        return Parser(self._language.grammar).parse(self._data)

    @cached_property
    def _text_nodes(self) -> list[Node]:
        """The nodes of strings and comments, by the grammar of the language."""
        return _capture(self._language.grammar, self._tree, "text") if self._language else []

    @cached_property
    def _starts(self) -> list[int]:
        """The indices at which lines begin."""
        return [0, *(found.end() for found in re.finditer("\n", self._text))]

    def _lines_within(self, spans: Iterable[tuple[int, int]]) -> set[int]:
        """Return the numbers of the lines that begin inside one of `spans`."""
        return {
            number
            for begin, end in spans
            for number in range(bisect_right(self._starts, begin), bisect_left(self._starts, end))
        }

    @property
    def length(self) -> int:
        """The length of the text in characters."""
        return len(self._text)

    def pairs(self, begin: int, end: int) -> tuple[list[tuple[Bracket, Bracket | None]], list[Bracket]]:
        """Return each closing bracket from `begin` to `end` with its opener, and the brackets left open.

        An opener before `begin` is None.
        """
        closed: list[tuple[Bracket, Bracket | None]] = []
        opened: list[Bracket] = []
        first, last = (bisect_left(self.brackets, index, key=lambda bracket: bracket.at) for index in (begin, end))
        for bracket in self.brackets[first:last]:
            if bracket.opens:
                opened.append(bracket)
            else:
                closed.append((bracket, opened.pop() if opened else None))
        return closed, opened

    def unmatched(self, begin: int, end: int) -> tuple[list[Bracket], list[Bracket]]:
        """Return the brackets from `begin` to `end` that close earlier openers, and those left open."""
        closed, opened = self.pairs(begin, end)
        return [bracket for bracket, opener in closed if opener is None], opened

    def _byte(self, at: int) -> int:
        """Return the byte offset of the character at `at`."""
        return at if self._ascii else len(self._text[:at].encode("utf-8", "replace"))

    def _character(self, byte: int) -> int:
        """Return the index of the character at a byte offset."""
        return byte if self._ascii else len(self._data[:byte].decode("utf-8", "replace"))

    def _texts(self) -> Iterator[tuple[int, int]]:
        """Yield the begin and end of multi-line strings and comments, by grammar."""
        for node in self._text_nodes:
            if node.start_point[0] != node.end_point[0]:
                yield self._character(node.start_byte), self._character(node.end_byte)

    def _read_brackets(self) -> Iterator[Bracket]:
        if self._lexed:
            yield from (Bracket(at, sign) for at, sign in self._lexed.brackets())
        if self._language is None:
            return
        for token in _capture(self._language.grammar, self._tree, "bracket"):
            first = token.start_byte
            start = self._character(first)
            signs = self._data[first : token.end_byte].decode()
            yield from (Bracket(start + offset, sign) for offset, sign in enumerate(signs) if sign in "()[]{}")


def kind_at_cursor(before: str, after: str, language_name: str) -> TextKind | None:
    """Return the kind of text at a cursor between the two, closed or not; None for code."""
    kinds = (syntax_of(before + each, language_name).kind_of_text(len(before)) for each in (after, *QUOTES))
    return next(filter(None, kinds), None)


def _without_arms(brackets: list[Bracket], text: str) -> list[Bracket]:
    """Return the brackets except those that end a `case` label, as in `start) run;;`: they close nothing."""
    cases = deque(shell.cases(text))
    kept: list[Bracket] = []
    opened: list[list[Bracket]] = [[]]  # outside of any `case`, and inside each open one
    for bracket in brackets:
        while cases and cases[0][0] <= bracket.at:
            _, begins = cases.popleft()
            if begins:
                opened.append([])
            elif len(opened) > 1:
                opened.pop()
        if bracket.opens:
            opened[-1].append(bracket)
        elif opened[-1]:
            opened[-1].pop()
        elif len(opened) > 1 and bracket.sign == ")":
            continue
        kept.append(bracket)
    return kept


@lru_cache(maxsize=8)
def syntax_of(text: str, language_name: str) -> Syntax:
    """Return the syntax of `text`; cached, as finishing one suggestion needs the same syntax repeatedly."""
    return Syntax(text, language_name)


def _covers(grammar: Grammar, data: bytes, byte: int) -> bool:
    nodes = _capture(grammar, Parser(grammar).parse(data), "text")
    return any(node.start_byte < byte and byte + 1 < node.end_byte for node in nodes)


def _capture(grammar: Grammar, tree: Tree, name: str) -> list[Node]:
    return QueryCursor(_query(grammar, name)).captures(tree.root_node).get(name, [])


@cache
def _query(grammar: Grammar, name: str) -> Query:
    """Return the query for all bracket tokens, or for all strings and comments."""
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
