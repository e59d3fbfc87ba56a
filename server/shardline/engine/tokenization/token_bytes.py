"""Bytes of a tokenizer's tokens, sorted for fast prefix search."""

from array import array
from bisect import bisect_left
from collections.abc import Collection

from tokenizers import Tokenizer

SPACE = "▁"
"""SentencePiece's sign for a space."""


class Vocabulary:
    """Built once for each tokenizer.

    `excluded` ids, such as special tokens, stand for no bytes. A tokenizer whose tokens cannot be spelled as bytes
    has an empty vocabulary here.
    """

    def __init__(self, tokenizer: Tokenizer, excluded: Collection[int]) -> None:
        self._bytes = {
            number: spelled
            for token, number in tokenizer.get_vocab().items()
            if number not in excluded and (spelled := _spell(token, str(tokenizer.decoder)))
        }
        pairs = sorted((spelled, number) for number, spelled in self._bytes.items())
        self._sorted = [spelled for spelled, _ in pairs]
        self._ids = array("q", [number for _, number in pairs])

    def spelled(self, token: int) -> bytes:
        """Return the bytes of `token`; empty for tokens without text."""
        return self._bytes.get(token, b"")

    def consistent(self, text: bytes) -> "array[int]":
        """Return the 64-bit ids of the tokens that begin with `text`, and of those that `text` begins with."""
        longer = slice(self._find(text), self._find(_after(text)))
        found = self._ids[longer]
        for length in range(1, len(text)):
            at = self._find(text[:length])
            if at < len(self._sorted) and self._sorted[at] == text[:length]:
                found.append(self._ids[at])
        return found

    def _find(self, text: bytes) -> int:
        return bisect_left(self._sorted, text)


def _spell(token: str, decoder: str) -> bytes | None:
    if decoder.startswith("ByteLevel"):
        characters = [_BYTE_OF.get(character) for character in token]
        return None if None in characters else bytes(character for character in characters if character is not None)
    if "ByteFallback" not in decoder and "Metaspace" not in decoder:
        return None
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace(SPACE, " ").encode("utf-8", "surrogatepass")


def _after(text: bytes) -> bytes:
    """Return the first bytes, in order, that do not begin with `text`."""
    stem = text.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\xff" * 64


_SEEN = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
"""Bytes that a byte-level tokenizer writes as themselves; the others it writes as characters from 256 on."""

_HIDDEN = [byte for byte in range(256) if byte not in _SEEN]
_BYTE_OF = {chr(byte): byte for byte in _SEEN} | {chr(256 + number): byte for number, byte in enumerate(_HIDDEN)}
