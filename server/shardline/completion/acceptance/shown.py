"""Suggestion on the screen: how much was typed since, and accepted."""

from collections.abc import Sequence

from shardline.completion import Source, Suggestion
from shardline.completion.acceptance.survival import remains

FEW = 3
"""Fewer characters than this that come at once may be of one key: editors close brackets and quotes themselves."""


class Shown:
    """The suggestion that was shown for the cursor of `source`, or the candidates that one chooses from there."""

    def __init__(self, number: int, source: Source, suggestions: Sequence[Suggestion]) -> None:
        self.number = number
        self.document = source.document
        self.accepted = False
        """Whether the client said so, or it came to stand in the document whole and was not all typed."""
        self._line = source.line
        self._before = source.before
        self._after = source.after
        self._height = len(source.lines)
        self._typed = 0  # so many of its characters stood in the document when it was looked at last
        self._taken_text = ""  # all of it up to the last that came at once
        self._taken: set[int] = set()  # the places in it that came at once and are not blank
        self._settled: set[int] = set()  # those of them that were settled
        self._show("", 0, suggestions)

    @property
    def is_settled(self) -> bool:
        """Whether nothing was accepted since it was settled, if anything was."""
        return self._taken == self._settled

    def goes_on(self, source: Source, suggestions: Sequence[Suggestion]) -> bool:
        """Take these suggestions for its rest, if they are that: behind what was typed of it they go on as it does."""
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
        """Compare with the document's `lines` after edits of which none brought more than `at_once` characters.

        What stands there now and did not before was accepted, unless it was typed, perhaps several keys in one message.
        """
        stands = [
            (len(inserted), -choice)
            for choice, text in enumerate(self._texts)
            for overwritten in range(self._overwrites + 1)
            if (inserted := self._inserted(lines, overwritten)) is not None and text.startswith(inserted)
        ]
        if not stands or self.accepted:
            return
        length, choice = max(stands)
        text = self._texts[-choice]
        if FEW <= len(text[self._typed : length].strip()) <= at_once:
            self._take(self._typed, text[:length])
        self._typed = length
        self.accepted = length == len(text) and bool(self._taken)

    def accept(self, choice: int) -> None:
        """Mark a candidate as accepted; the client may say so before or after the change, or without one."""
        if not self.accepted and 0 <= choice < len(self._texts):
            self._take(self._answered, self._texts[choice])
            self.accepted = True

    def settle(self, lines: Sequence[str]) -> tuple[int, int]:
        """How many characters were accepted since this was asked last, and how many of them remain in these lines."""
        found = remains(self._taken_text, lines, self._line, len(self._before))
        new = self._taken - self._settled
        self._settled |= new
        return len(new), len(new & found)

    def _show(self, typed: str, overwritten: int, suggestions: Sequence[Suggestion]) -> None:
        self._answered = len(typed)  # the rest was in the last answer
        self._texts = [typed + suggestion.text for suggestion in suggestions]
        self._overwrites = overwritten + max(len(suggestion.repeats) for suggestion in suggestions)

    def _take(self, start: int, text: str) -> None:
        self._taken_text = max(self._taken_text, text, key=len)
        self._taken.update(place for place in range(start, len(text)) if not text[place].isspace())

    def _inserted(self, lines: Sequence[str], overwritten: int) -> str | None:
        """Return the text inserted between the text before the cursor and the text behind it.

        None where these have changed.
        """
        last = self._line + len(lines) - self._height
        last_line = self._line + max(text.count("\n") for text in self._texts)
        if not (0 <= overwritten <= len(self._after) and self._line <= last <= last_line and last < len(lines)):
            return None
        region = "".join(lines[self._line : last]).replace("\r\n", "\n") + lines[last].rstrip("\r\n")
        before, after = self._before, self._after[overwritten:]
        if len(region) < len(before + after) or not (region.startswith(before) and region.endswith(after)):
            return None
        return region[len(before) : len(region) - len(after)]
