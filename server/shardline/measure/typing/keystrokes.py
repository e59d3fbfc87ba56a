"""Keystrokes of a person: bursts, pauses, and mistakes noticed late."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from shardline.completion.code.indentation import margin, unit

JITTER = 0.4
"""The standard deviation of the logarithm of the time between two keys."""

BURST, SYMBOL, NEW_LINE, NOTICING = 0.7, 1.4, 4.0, 2.5
"""Times of a key in a word, for a symbol, at a line's begin and to notice a mistake, in averages."""

MISTAKES = 0.03
"""The share of letters that are first typed wrong."""

MAX_UNNOTICED = 2
"""Characters typed behind a mistake until it is noticed, at most."""

OPENING = (":", "{", "(", "[")
"""Behind these, editors indent the next line one step deeper."""


@dataclass(frozen=True, kw_only=True)
class Keystroke:
    """A key, pressed `delay` seconds after the one before.

    It takes `erase` characters off before the cursor and puts `text` there. From then on the first `done` characters of
    what is to be typed stand in the document, and perhaps something wrong behind them.
    """

    delay: float
    erase: int = 0
    text: str = ""
    done: int


def keystrokes(text: str, before: str, *, speed: float, chance: random.Random) -> Iterator[Keystroke]:
    """Yield the keys that put `text` behind `before`, at about `speed` characters a second; `chance` draws the rest."""
    return _Typist(text, before, speed, chance).keystrokes()


class _Typist:
    def __init__(self, text: str, before: str, speed: float, chance: random.Random) -> None:
        self._text = text
        self._before = before
        self._speed = speed
        self._chance = chance
        self._step = unit((before + text).split("\n")) or "    "
        self._at = 0
        self._surplus = 0  # indentation that the editor gave and the text does not have

    def keystrokes(self) -> Iterator[Keystroke]:
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter == "\n":
                yield self._enter()
                yield from self._outdent()
            elif letter.isalpha() and self._chance.random() < MISTAKES:
                yield from self._mistake(letter)
            else:
                yield self._key()

    def _key(self) -> Keystroke:
        """Press the key of one character, or of one step of indentation."""
        indents = not self._line.strip() and self._text.startswith(self._step, self._at)
        text = self._step if indents else self._text[self._at]
        delay = self._delay(text)
        self._at += len(text)
        return Keystroke(delay=delay, text=text, done=self._at)

    def _enter(self) -> Keystroke:
        """Return the key of a new line, which the editor indents; a blank line loses its indentation."""
        delay, erase = self._delay("\n"), self._surplus
        given = self._indentation()
        wanted = margin(self._text[self._at + 1 :].partition("\n")[0])
        kept = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(given, wanted, strict=False)))
        self._at += 1 + kept
        self._surplus = len(given) - kept
        return Keystroke(delay=delay, erase=erase, text=f"\n{given}", done=self._at)

    def _outdent(self) -> Iterator[Keystroke]:
        """Take back what the editor indented too deep, step by step, unless the line stays blank."""
        while self._surplus and not self._text.startswith("\n", self._at):
            erase = min(self._surplus, len(self._step))
            self._surplus -= erase
            yield Keystroke(delay=self._delay(""), erase=erase, done=self._at)

    def _mistake(self, letter: str) -> Iterator[Keystroke]:
        """Yield a wrong character, some right ones behind it, and the keys that take all of them back."""
        wrong = self._chance.choice([other for other in "abcdefghijklmnopqrstuvwxyz" if other != letter.lower()])
        behind = self._text[self._at + 1 :].partition("\n")[0][: self._chance.randint(0, MAX_UNNOTICED)]
        for text in wrong + behind:
            yield Keystroke(delay=self._delay(text), text=text, done=self._at)
        for number in range(1 + len(behind)):
            delay = self._delay("") * (1 if number else NOTICING)
            yield Keystroke(delay=delay, erase=1, done=self._at)
        yield self._key()

    @property
    def _line(self) -> str:
        """The line up to what is typed next."""
        begin = self._text.rfind("\n", 0, self._at) + 1
        line = self._text[begin : self._at]
        return line if begin else self._before.rpartition("\n")[2] + line

    def _indentation(self) -> str:
        """Return the indentation that the editor gives a new line: that of the last full line, or deeper."""
        lines = (self._before + self._text[: self._at]).split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        deeper = self._line.rstrip().endswith(OPENING)
        return margin(last) + (self._step if deeper else "")

    def _delay(self, text: str) -> float:
        before = self._text[self._at - 1] if self._at else "\n"
        factor = 1.0
        if before == "\n":
            factor = NEW_LINE
        elif text.isalnum() and before.isalnum():
            factor = BURST
        elif text and not text.isalnum() and not text.isspace():
            factor = SYMBOL
        return factor / self._speed * self._chance.lognormvariate(-(JITTER**2) / 2, JITTER)
