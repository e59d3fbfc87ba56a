"""Open documents and positions in utf-8, utf-16 and utf-32.

A line ends only with a line feed, a carriage return or both, as the specification says. Python's `splitlines` would
also break at a form feed or U+2028.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO

from lsprotocol.types import (
    Position,
    PositionEncodingKind,
    Range,
    SelectedCompletionInfo,
    TextDocumentContentChangeEvent,
    TextDocumentContentChangePartial,
    TextDocumentItem,
)

from shardline.completion import Source
from shardline.lsp.notebooks import Notebooks

_UNITS = {
    PositionEncodingKind.Utf8: ("utf-8", 1),
    PositionEncodingKind.Utf16: ("utf-16-le", 2),
    PositionEncodingKind.Utf32: ("utf-32-le", 4),
}
"""Python's name of each encoding, and the bytes per code unit."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document at one version; `lines` keep their endings, and the last one has none and may be empty.

    `characters` is the length of the text, kept up to date because each key needs it.
    """

    uri: str
    language: str
    version: int
    lines: Sequence[str]
    characters: int

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.lines)

    def index(self, position: Position, encoding: PositionEncodingKind) -> tuple[int, int]:
        """Return the line and the column in characters of a client's position, clamped to the document."""
        if position.line >= len(self.lines):
            return len(self.lines) - 1, len(self.lines[-1])
        content = self.lines[position.line].rstrip("\r\n")
        return position.line, _column(content, position.character, encoding)

    @classmethod
    def opened(cls, item: TextDocumentItem) -> "Document":
        """Return the document that a client opened."""
        lines = split_lines(item.text)
        return cls(
            uri=item.uri, language=item.language_id, version=item.version, lines=lines, characters=len(item.text)
        )

    def edited(self, change: TextDocumentContentChangeEvent, encoding: PositionEncodingKind) -> "Document":
        """Return the document after `change`; a reversed range is read from its end to its start."""
        if not isinstance(change, TextDocumentContentChangePartial):
            return replace(self, lines=split_lines(change.text), characters=len(change.text))
        (first, from_column), (last, to_column) = sorted(
            (self.index(change.range.start, encoding), self.index(change.range.end, encoding))
        )
        text = self.lines[first][:from_column] + change.text + self.lines[last][to_column:]
        if first > 0 and text.startswith("\n") and self.lines[first - 1].endswith("\r"):
            first -= 1  # the two form one line ending
            text = self.lines[first] + text
        changed = split_lines(text)
        if last + 1 < len(self.lines):
            changed.pop()  # the empty line after the last ending, where the document goes on
        lines = list(self.lines)
        growth = sum(map(len, changed)) - sum(map(len, lines[first : last + 1]))
        lines[first : last + 1] = changed
        return replace(self, lines=lines, characters=self.characters + growth)


class Documents:
    """All open documents, including the cells of notebooks."""

    def __init__(self) -> None:
        self.encoding: PositionEncodingKind = PositionEncodingKind.Utf16
        self.notebooks = Notebooks()
        self._open: dict[str, Document] = {}

    def open(self, item: TextDocumentItem) -> None:
        """Store a document that the client opened."""
        self._open[item.uri] = Document.opened(item)

    def change(self, uri: str, version: int, changes: Sequence[TextDocumentContentChangeEvent]) -> None:
        """Apply edits to an open document, in order; ignore those of others."""
        document = self._open.get(uri)
        if document is None:
            return
        for edit in changes:
            document = document.edited(edit, self.encoding)
        self._open[uri] = replace(document, version=version)

    def close(self, uri: str) -> None:
        """Drop a document."""
        self._open.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        """Return the current document, or None if it is not open."""
        return self._open.get(uri)

    def source(self, uri: str, position: Position) -> Source | None:
        """Return the document with the cursor at `position`, or None if it is not open."""
        document = self._open.get(uri)
        if document is None:
            return None
        line, column = document.index(position, self.encoding)
        return Source(
            document=uri,
            language=document.language,
            lines=document.lines,
            line=line,
            column=column,
            above=self._above(document),
            characters=document.characters,
        )

    def end_of(self, change: TextDocumentContentChangeEvent) -> Position:
        """Return the likely cursor after `change`: its end, or the top if the whole text is new."""
        if not isinstance(change, TextDocumentContentChangePartial):
            return Position(0, 0)
        start = min(change.range.start, change.range.end)
        *above, last = split_lines(change.text)
        character = _width(last, self.encoding)
        return Position(start.line + len(above), character if above else start.character + character)

    def with_chosen(self, source: Source, chosen: SelectedCompletionInfo) -> Source | None:
        """Return the source with the chosen pop-up item inserted, or None if that is not at the cursor."""
        document = self._open[source.document]
        (first, start), (last, end) = (
            document.index(position, self.encoding) for position in (chosen.range.start, chosen.range.end)
        )
        if not (first == last == source.line and start <= source.column <= end) or len(split_lines(chosen.text)) > 1:
            return None
        line = source.lines[source.line]
        lines = list(source.lines)
        lines[source.line] = line[:start] + chosen.text + line[end:]
        return replace(source, lines=lines, column=start + len(chosen.text), characters=None)

    def range(self, source: Source, start: int, end: int) -> Range:
        """Return the range on the cursor's line between two columns in characters."""
        line = source.lines[source.line]
        begin, stop = (_width(line[:column], self.encoding) for column in (start, end))
        return Range(Position(source.line, begin), Position(source.line, stop))

    def _above(self, document: Document) -> Sequence[str]:
        """Return the lines of the earlier notebook cells in the same language."""
        earlier = map(self.get, self.notebooks.earlier(document.uri))
        cells = [cell.lines for cell in earlier if cell and cell.language == document.language]
        return [line for *lines, last in cells for line in (*lines, *([last + "\n"] if last else []))]


def split_lines(text: str) -> list[str]:
    """Return lines that keep their endings; the last one has none."""
    lines = StringIO(text, newline="").readlines()  # keeps line endings as they are
    if not lines or lines[-1].endswith(("\r", "\n")):
        lines.append("")
    return lines


def word_before(text: str) -> str:
    """Return the word at the end of `text`, by which clients filter; perhaps empty."""
    start = len(text)
    while start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    return text[start:]


def _column(content: str, character: int, encoding: PositionEncodingKind) -> int:
    """Return the index of the character that contains the code unit `character`."""
    content = content[:character]  # each character takes at least one unit
    if content.isascii():
        return len(content)
    name, size = _UNITS[encoding]
    return len(content.encode(name, "replace")[: size * character].decode(name, "ignore"))


def _width(text: str, encoding: PositionEncodingKind) -> int:
    """Return how many code units `text` takes; a lone surrogate takes one."""
    if text.isascii():
        return len(text)
    name, size = _UNITS[encoding]
    return len(text.encode(name, "replace")) // size
