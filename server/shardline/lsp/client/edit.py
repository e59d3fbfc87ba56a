"""Edit that a suggestion makes, and whether it fits the document.

A suggestion fits the document it was asked for where it lies in it, around the cursor, and where nothing of what it
overwrites is lost: it begins with what stood before the cursor, and has what stood behind it, in order. Where the
document has gone on since, it still fits if what was typed is how it goes on; else it is stale, and no lie.
"""

from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from shardline.lsp.client.buffer import Buffer
from shardline.lsp.documents import word_before


@dataclass(frozen=True, kw_only=True)
class Edit:
    """`text` in place of what `asked` has between two indices, None where it has no such place."""

    asked: Buffer
    start: int | None
    end: int | None
    text: str
    filters: bool = False
    """Whether it is an item of a pop-up: there, what stands before the cursor need only be characters of the text."""

    @property
    def fits(self) -> bool:
        """Whether it is true to the document that it was asked for."""
        cursor = self.asked.cursor
        if self.start is None or self.end is None or not self.start <= cursor <= self.end:
            return False
        before, behind = self.asked.text[self.start : cursor], self.asked.text[cursor : self.end]
        if self.filters:
            return "\n" not in before and _has(self.text.lower(), before.lower()) and _has(self.text, behind)
        return self.text.startswith(before) and _has(self.text[len(before) :], behind)

    def fits_now(self, now: Buffer) -> bool:
        """Whether all that was done to the document since, if anything, was to type how this goes on."""
        if now.version == self.asked.version:
            return self.fits
        cursor = self.asked.cursor
        typed = now.text[cursor : now.cursor]
        known = now.text[:cursor] == self.asked.text[:cursor] and now.text[now.cursor :] == self.asked.text[cursor:]
        return self.fits and known and self._goes_on.startswith(typed)

    def applied(self, now: Buffer) -> tuple[int, int, str]:
        """Return start, end and text of the change that accepting it makes in a document that it fits now."""
        if self.start is None or self.end is None:
            raise ValueError("The edit lies outside the document.")
        return self.start, self.end + now.cursor - self.asked.cursor, self.text

    @property
    def _goes_on(self) -> str:
        """What it has behind what stood before the cursor."""
        return self.text[self.asked.cursor - (self.start or 0) :]


def ghost(answer: Any, asked: Buffer) -> Edit | None:
    """Return the first inline completion of an answer, if there is one."""
    items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
    if not items:
        return None
    item = items[0]
    text = item.insert_text if isinstance(item.insert_text, str) else item.insert_text.value
    if item.range is None:
        return Edit(asked=asked, start=asked.cursor, end=asked.cursor, text=text)
    return Edit(asked=asked, start=asked.index(item.range.start), end=asked.index(item.range.end), text=text)


def popup(answer: Any, asked: Buffer) -> Edit | None:
    """Return the first item of a pop-up after filtering by the typed text, if there is one."""
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
    spot = edit.insert if isinstance(edit, types.InsertReplaceEdit) else edit.range
    start, end = asked.index(spot.start), asked.index(spot.end)
    return Edit(asked=asked, start=start, end=end, text=edit.new_text, filters=True)


def _has(text: str, characters: str) -> bool:
    """Whether `text` has all `characters` in their order."""
    rest = iter(text)
    return all(character in rest for character in characters)
