"""One shown suggestion and how much of it was accepted."""

from collections.abc import Sequence

from shardline.completion import Source, Suggestion
from shardline.completion.acceptance.survival import remains

FEW = 3
"""Fewer characters in one edit may come from one key: editors close brackets and quotes themselves."""


class Shown:
    """The suggestion shown at the cursor of `source`, or the candidates to choose from."""

    def __init__(self, number: int, source: Source, suggestions: Sequence[Suggestion]) -> None:
        self.number = number
        self.document = source.document
        self.accepted = False
        """Whether the client reported it, or the whole text arrived and was not all typed."""
        self._line = source.line
        self._before = source.before
        self._after = source.after
        self._height = len(source.lines)
        self._typed = 0  # how many of its characters the document had last
        self._taken_text = ""  # its text up to the end of the last accepted part
        self._taken: set[int] = set()  # indices of accepted characters that are not blank
        self._settled: set[int] = set()  # those already counted by `settle`
        self._show("", 0, suggestions)

    @property
    def is_settled(self) -> bool:
        """Whether nothing was accepted since the last `settle`."""
        return self._taken == self._settled

    def merge(self, source: Source, suggestions: Sequence[Suggestion]) -> bool:
        """Take over `suggestions` if they continue it after what was typed; return whether they do."""
        overwritten = len(self._after) - len(source.after)
        typed = self._inserted(source.lines, overwritten) if overwritten <= self._overwrites else None
        if typed is None or len(source.lines) - source.line != self._height - self._line:
            return False
        new = suggestions[0].text
        rests = [text[len(typed) :] for text in self._texts if text.startswith(typed)]
        if not any(rest and (new.startswith(rest) or rest.startswith(new)) for rest in rests):
            return False
        self._show(typed, overwritten, suggestions)
        return True

    def follow(self, lines: Sequence[str], at_once: int) -> None:
        """Look for accepted text in the new lines, after edits that each inserted at most `at_once` characters.

        New text was accepted unless it was typed, perhaps as several keys in one message.
        """
        found = [
            (len(inserted), -choice)
            for choice, text in enumerate(self._texts)
            for overwritten in range(self._overwrites + 1)
            if (inserted := self._inserted(lines, overwritten)) is not None and text.startswith(inserted)
        ]
        if not found or self.accepted:
            return
        length, choice = max(found)
        text = self._texts[-choice]
        if FEW <= len(text[self._typed : length].strip()) <= at_once:
            self._take(self._typed, text[:length])
        self._typed = length
        self.accepted = length == len(text) and bool(self._taken)

    def accept(self, choice: int) -> None:
        """Record the client's report that a candidate was accepted; the edit may come before, after or never."""
        if not self.accepted and 0 <= choice < len(self._texts):
            self._take(self._answered, self._texts[choice])
            self.accepted = True

    def settle(self, lines: Sequence[str]) -> tuple[int, int]:
        """Return how many characters were accepted since the last call, and how many of them remain in `lines`."""
        found = remains(self._taken_text, lines, self._line, len(self._before))
        new = self._taken - self._settled
        self._settled |= new
        return len(new), len(new & found)

    def _show(self, typed: str, overwritten: int, suggestions: Sequence[Suggestion]) -> None:
        self._answered = len(typed)  # where the text of the last answer begins
        self._texts = [typed + suggestion.text for suggestion in suggestions]
        self._overwrites = overwritten + max(len(suggestion.repeats) for suggestion in suggestions)

    def _take(self, start: int, text: str) -> None:
        self._taken_text = max(self._taken_text, text, key=len)
        self._taken.update(index for index in range(start, len(text)) if not text[index].isspace())

    def _inserted(self, lines: Sequence[str], overwritten: int) -> str | None:
        """Return the text inserted at the cursor, where it overwrote `overwritten` characters behind it.

        None if the text around the cursor changed.
        """
        last = self._line + len(lines) - self._height
        max_last = self._line + max(text.count("\n") for text in self._texts)
        if not (0 <= overwritten <= len(self._after) and self._line <= last <= max_last and last < len(lines)):
            return None
        region = "".join(lines[self._line : last]).replace("\r\n", "\n") + lines[last].rstrip("\r\n")
        before, after = self._before, self._after[overwritten:]
        if len(region) < len(before + after) or not (region.startswith(before) and region.endswith(after)):
            return None
        return region[len(before) : len(region) - len(after)]
