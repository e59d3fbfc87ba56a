"""What is typed into which file, what is then suggested, and so what the file must be, byte for byte."""

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Case:
    """A file whose cursor is at `|`, the keys typed there, and what is suggested behind them.

    Editors that close brackets by themselves and those that do not come to the same text.
    """

    name: str
    opened: str
    typed: str
    suggested: str
    line_ending: str = "\n"

    @property
    def file(self) -> bytes:
        """The file before."""
        return self._bytes(self.opened.replace("|", ""))

    @property
    def accepted(self) -> bytes:
        """The file when the suggestion is accepted and saved."""
        return self._bytes(self.opened.replace("|", self.typed + self.suggested))

    @property
    def prefix(self) -> str:
        """The text up to the cursor when all is typed, as the engine sees it."""
        return self.opened.partition("|")[0] + self.typed

    @property
    def suffix(self) -> str:
        """The text behind the cursor."""
        return self.opened.partition("|")[2]

    @property
    def behind(self) -> int:
        """How many characters of the line stand behind the cursor."""
        return len(self.suffix.partition("\n")[0])

    @property
    def line(self) -> int:
        """The line of the cursor, from 1."""
        return self.opened.partition("|")[0].count("\n") + 1

    @property
    def shown(self) -> str:
        """The lines of the cursor and of the suggestion on a screen."""
        line, behind = self.prefix.rpartition("\n")[2], self.suffix.partition("\n")[0]
        return (line + self.suggested + behind).expandtabs(4)

    @property
    def label(self) -> str:
        """What a pop-up shows of the suggestion at least: its first line, without brackets that are closed already."""
        return self.suggested.strip().partition("\n")[0].rstrip(")")

    @property
    def below(self) -> "Case | None":
        """One that begins with a line break, when its first word is typed: there it ends where the `if` does."""
        if not self.suggested.startswith("\n"):
            return None
        indentation, word, others = re.split(r"(\w+)", self.suggested.removeprefix("\n"), maxsplit=1)
        opened = self.opened.replace("|", f"{self.typed}\n{indentation}|")
        return replace(self, opened=opened, typed=word, suggested=others.rpartition("\n")[0])

    def _bytes(self, text: str) -> bytes:
        return text.replace("\n", self.line_ending).encode()


STACK = "class Stack:\n    def __init__(self):\n        self.items = []\n\n    |\n"
POP = "\n        if not self.items:\n            return None\n        return self.items.pop()"

LINE = Case("line", "def add(a, b):\n    |\n", "return", " a + b")
LINES = Case("lines", STACK, "def pop(self):", POP)
TABS = Case("tabs", STACK.replace("    ", "\t"), "def pop(self):", POP.replace("    ", "\t"))
CRLF = Case("crlf", STACK, "def peek(self):", POP.replace("pop()", "[-1]").replace(".[", "["), "\r\n")
EMOJI = Case("emoji", 'happy = True\nface = "🙂" |\n', "if", ' happy else "🙁"')
BRACKETS = Case("brackets", "names = []\n|\n", "print(", "sorted(names))")
WORD = Case("word", "def mean(numbers):\n    |\n", "return su", "m(numbers) / len(numbers)")
TABBED_LINE = Case("tabs_line", "def check(a, b):\n\t|\n", "assert", " a < b")

CASES = [LINE, LINES, TABS, CRLF, EMOJI, BRACKETS, WORD, TABBED_LINE]
MIDDLE = Case("middle", "numbers = [1, 2]\ntotal = sum(|, 0)\n", "num", "bers")
"""For clients whose tests put the cursor into a line."""
BELOW = [below for case in CASES if (below := case.below)]
"""For clients that cannot show what begins with a line break."""


def suggested(prefix: str) -> str:
    """Return what the engine says behind `prefix`: nothing where no case has brought the cursor."""
    return next((case.suggested for case in [*CASES, *BELOW] if case.prefix == prefix), "")


def suggested_at(end: str) -> str:
    """Return what the engine says where clients send more before the file than its own text."""
    return next((case.suggested for case in [*CASES, *BELOW, MIDDLE] if end.endswith(case.prefix)), "")
