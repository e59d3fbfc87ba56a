"""Edits of suggestions, and whether they fit the document.

An edit fits the document it was requested for if it surrounds the cursor and loses nothing that it overwrites. It
begins with the text before the cursor, and contains the text behind it, in order. After typing, an edit still fits if
it continues with what was typed; else it is stale.
"""

from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from shardline.lsp.client.buffer import Buffer
from shardline.lsp.documents import word_before


@dataclass(frozen=True, kw_only=True)
class Edit:
    """`text` in place of the text of `asked` between two indices; None is an index outside of it."""

    asked: Buffer
    start: int | None
    end: int | None
    text: str
    filters: bool = False
    """Whether it is an item of a pop-up: its text need only contain the characters before the cursor, in order."""

    @property
    def fits(self) -> bool:
        """Whether it fits the document it was requested for."""
        cursor = self.asked.cursor
        if self.start is None or self.end is None or not self.start <= cursor <= self.end:
            return False
        before, behind = self.asked.text[self.start : cursor], self.asked.text[cursor : self.end]
        if self.filters:
            return "\n" not in before and _has(self.text.lower(), before.lower()) and _has(self.text, behind)
        return self.text.startswith(before) and _has(self.text[len(before) :], behind)

    def fits_now(self, now: Buffer) -> bool:
        """Return whether it fits, and the document since changed only by typing what it continues with."""
        if now.version == self.asked.version:
            return self.fits
        cursor = self.asked.cursor
        typed = now.text[cursor : now.cursor]
        unchanged = now.text[:cursor] == self.asked.text[:cursor] and now.text[now.cursor :] == self.asked.text[cursor:]
        return self.fits and unchanged and self._continuation.startswith(typed)

    def applied(self, now: Buffer) -> tuple[int, int, str]:
        """Return start, end and text of the change that accepts it in a document that it fits now."""
        if self.start is None or self.end is None:
            raise ValueError("The edit lies outside the document.")
        return self.start, self.end + now.cursor - self.asked.cursor, self.text

    @property
    def _continuation(self) -> str:
        """Its text after the part before the cursor."""
        return self.text[self.asked.cursor - (self.start or 0) :]


def ghost(answer: Any, asked: Buffer) -> Edit | None:
    """Return the edit of the first inline completion in an answer, or None."""
    items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
    if not items:
        return None
    item = items[0]
    text = item.insert_text if isinstance(item.insert_text, str) else item.insert_text.value
    if item.range is None:
        return Edit(asked=asked, start=asked.cursor, end=asked.cursor, text=text)
    return Edit(asked=asked, start=asked.index(item.range.start), end=asked.index(item.range.end), text=text)


def popup(answer: Any, asked: Buffer) -> Edit | None:
    """Return the edit of the first pop-up item left after filtering by the typed word, or None."""
    items = answer.items if isinstance(answer, types.CompletionList) else answer or []
    word = word_before(asked.before)
    shown = [item for item in items if _has((item.filter_text or item.label).lower(), word.lower())]
    if not shown:
        return None
    item = min(shown, key=lambda item: item.sort_text or item.label)
    edit = item.text_edit
    if edit is None:
        begin, text = asked.cursor - len(word), item.insert_text or item.label
        return Edit(asked=asked, start=begin, end=asked.cursor, text=text, filters=True)
    span = edit.insert if isinstance(edit, types.InsertReplaceEdit) else edit.range
    start, end = asked.index(span.start), asked.index(span.end)
    return Edit(asked=asked, start=start, end=end, text=edit.new_text, filters=True)


def _has(text: str, characters: str) -> bool:
    """Return whether `text` contains all `characters` in order."""
    rest = iter(text)
    return all(character in rest for character in characters)
