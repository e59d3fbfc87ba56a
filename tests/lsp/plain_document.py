"""Document as plain text."""

import re

from lsprotocol.types import (
    Position,
    PositionEncodingKind,
)

LETTERS = [
    "a",
    "b",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\f",
    "\x0b",
    "\x85",
    "\u2028",
    "\u2029",
    "é",
    "漢",
    "🎉",
    "👩‍👩‍👧",
    "\t",
    "",
]


class PlainDocument:
    """A document as one string: every position is found by walking from the start, one character at a time."""

    def __init__(self, text: str) -> None:
        self.text = text

    def offset(self, position: Position, encoding: PositionEncodingKind) -> int:
        starts = [0] + [match.end() for match in re.finditer("\r\n|\r|\n", self.text)]
        if position.line >= len(starts):
            return len(self.text)
        at, units = starts[position.line], 0
        while at < len(self.text) and self.text[at] not in "\r\n":
            units += self.width(self.text[at], encoding)
            if units > position.character:
                break
            at += 1
        return at

    def edit(self, start: Position, end: Position, new: str, encoding: PositionEncodingKind) -> None:
        first, last = sorted((self.offset(start, encoding), self.offset(end, encoding)))
        self.text = self.text[:first] + new + self.text[last:]

    @staticmethod
    def width(character: str, encoding: PositionEncodingKind) -> int:
        match encoding:
            case PositionEncodingKind.Utf8:
                return len(character.encode())
            case PositionEncodingKind.Utf16:
                return 2 if ord(character) > 0xFFFF else 1
            case _:
                return 1
