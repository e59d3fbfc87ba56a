"""Open documents by line, with positions in utf-8, utf-16 and utf-32.

A line ends with a line feed, a carriage return or both, as the specification says, and with nothing else: not
with a form feed or U+2028, at which Python's own `splitlines` would break.
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
"""What Python calls an encoding, and how many bytes its code units have."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document at one version. `lines` keep their endings; the last one has none, and may be empty.

    `characters` is the length of the whole text, kept up to date because it is wanted at every key.
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
        """Turn a client's position into a line and a column in characters, both within the document."""
        if position.line >= len(self.lines):
            return len(self.lines) - 1, len(self.lines[-1])
        content = self.lines[position.line].rstrip("\r\n")
        return position.line, _column(content, position.character, encoding)

    @classmethod
    def opened(cls, item: TextDocumentItem) -> "Document":
        """Return the document that a client has opened."""
        lines = split_lines(item.text)
        return cls(
            uri=item.uri, language=item.language_id, version=item.version, lines=lines, characters=len(item.text)
        )

    def edited(self, change: TextDocumentContentChangeEvent, encoding: PositionEncodingKind) -> "Document":
        """Return the document after `change`; a range whose end precedes its start is read the other way round."""
        if not isinstance(change, TextDocumentContentChangePartial):
            return replace(self, lines=split_lines(change.text), characters=len(change.text))
        (first, from_column), (last, to_column) = sorted(
            (self.index(change.range.start, encoding), self.index(change.range.end, encoding))
        )
        text = self.lines[first][:from_column] + change.text + self.lines[last][to_column:]
        if first > 0 and text.startswith("\n") and self.lines[first - 1].endswith("\r"):
            first -= 1  # the two now make one line ending
            text = self.lines[first] + text
        changed = split_lines(text)
        if last + 1 < len(self.lines):
            changed.pop()  # the empty line after the last ending: the document goes on there
        lines = list(self.lines)
        longer = sum(map(len, changed)) - sum(map(len, lines[first : last + 1]))
        lines[first : last + 1] = changed
        return replace(self, lines=lines, characters=self.characters + longer)


class Documents:
    """All documents the client has open, those that are cells of notebooks among them."""

    def __init__(self) -> None:
        self.encoding: PositionEncodingKind = PositionEncodingKind.Utf16
        self.notebooks = Notebooks()
        self._open: dict[str, Document] = {}

    def open(self, item: TextDocumentItem) -> None:
        """Take a document that the client has opened."""
        self._open[item.uri] = Document.opened(item)

    def change(self, uri: str, version: int, changes: Sequence[TextDocumentContentChangeEvent]) -> None:
        """Apply what the client did to an open document, in order; edits of others are ignored."""
        document = self._open.get(uri)
        if document is None:
            return
        for edit in changes:
            document = document.edited(edit, self.encoding)
        self._open[uri] = replace(document, version=version)

    def close(self, uri: str) -> None:
        """Forget a document."""
        self._open.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        """Return the document as it is now."""
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
        """Where the cursor is likely to stand after `change`: at its end, or at the top where the text is all new."""
        if not isinstance(change, TextDocumentContentChangePartial):
            return Position(0, 0)
        start = min(change.range.start, change.range.end)
        *above, last = split_lines(change.text)
        character = _width(last, self.encoding)
        return Position(start.line + len(above), character if above else start.character + character)

    def with_chosen(self, source: Source, chosen: SelectedCompletionInfo) -> Source | None:
        """Return the source with the selected pop-up item in it, or None where that is not at the cursor."""
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
        """Return the lines of the earlier cells of the same language, where it is the cell of a notebook."""
        earlier = map(self.get, self.notebooks.earlier(document.uri))
        cells = [cell.lines for cell in earlier if cell and cell.language == document.language]
        return [line for *lines, last in cells for line in (*lines, *([last + "\n"] if last else []))]


def split_lines(text: str) -> list[str]:
    """Split into lines that keep their endings; the last one has none."""
    lines = StringIO(text, newline="").readlines()  # leaves line endings as they are
    if not lines or lines[-1].endswith(("\r", "\n")):
        lines.append("")
    return lines


def word_before(text: str) -> str:
    """Return the word that `text` ends with, as clients filter by it: empty where it ends otherwise."""
    start = len(text)
    while start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    return text[start:]


def _column(content: str, character: int, encoding: PositionEncodingKind) -> int:
    """Return the index of the character that begins at, or reaches over, `character` code units."""
    content = content[:character]  # no character takes less than one
    if content.isascii():
        return len(content)
    name, size = _UNITS[encoding]
    return len(content.encode(name, "replace")[: size * character].decode(name, "ignore"))


def _width(text: str, encoding: PositionEncodingKind) -> int:
    """How many code units `text` takes; a lone surrogate, which is no text, takes one."""
    if text.isascii():
        return len(text)
    name, size = _UNITS[encoding]
    return len(text.encode(name, "replace")) // size
