"""Document of the headless editor, with its cursor."""

from dataclasses import dataclass, replace

from lsprotocol import types

_BYTES = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """A document at one version, with line feeds as line endings.

    `cursor` is an index into `text`; `encoding` is that of positions.
    """

    uri: str
    language: str
    text: str
    cursor: int
    encoding: str
    version: int = 1

    @property
    def before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.text[self.text.rfind("\n", 0, self.cursor) + 1 : self.cursor]

    def edited(self, start: int, end: int, text: str) -> "Buffer":
        """Return the buffer with `text` in place of the text between two indices, and the cursor behind it."""
        changed = self.text[:start] + text + self.text[end:]
        return replace(self, text=changed, cursor=start + len(text), version=self.version + 1)

    def change(self, start: int, end: int, text: str) -> types.DidChangeTextDocumentParams:
        """Return the notification of what `edited` does."""
        span = types.Range(self.position(start), self.position(end))
        document = types.VersionedTextDocumentIdentifier(uri=self.uri, version=self.version + 1)
        partial = types.TextDocumentContentChangePartial(range=span, text=text)
        return types.DidChangeTextDocumentParams(document, [partial])

    def position(self, index: int) -> types.Position:
        """Return the position of the character at `index`."""
        begin = self.text.rfind("\n", 0, index) + 1
        return types.Position(self.text.count("\n", 0, index), len(self._encoded(self.text[begin:index])))

    def index(self, position: types.Position) -> int | None:
        """Return the index of the character at a position, or None if the document has no such position."""
        begin = 0
        for _ in range(position.line):
            begin = self.text.find("\n", begin) + 1
            if not begin:
                return None
        line = self.text[begin:].partition("\n")[0]
        units = 0
        for column, character in enumerate(line):
            if units >= position.character:
                return begin + column if units == position.character else None
            units += len(self._encoded(character))
        return begin + len(line) if units == position.character else None

    def _encoded(self, text: str) -> bytes:
        """Return one byte for each code unit."""
        encoding, width = _BYTES[self.encoding]
        return text.encode(encoding)[::width]
