"""Width and unit of indentation."""

from collections import Counter
from collections.abc import Container, Iterable

TAB = 4


def margin(line: str) -> str:
    """Return the leading white space of `line`."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def width(line: str) -> int:
    """Return the width of the leading white space of `line`; a tab counts as four."""
    own = margin(line)
    return len(own) + (TAB - 1) * own.count("\t")


def unit(lines: Iterable[str]) -> str | None:
    """Return one step of indentation in `lines`, a tab or spaces; None if nothing is indented."""
    steps: Counter[str] = Counter()
    last = 0
    for line in lines:
        if not line.strip():
            continue
        own = margin(line)
        if own.startswith("\t"):
            steps["\t"] += 1
        elif len(own) > last:
            steps[" " * (len(own) - last)] += 1
        last = len(own)
    return steps.most_common(1)[0][0] if steps else None


def adapt(text: str, own: str, style: str, kept: Container[int] = ()) -> str:
    """Return `text` with its indentation in `style`, a tab or spaces, if it uses the other of the two.

    `own` is the white space before the first line of `text`; only indentation beyond it changes. Lines whose numbers
    are in `kept` stay as they are.
    """
    lines = text.split("\n")
    wrong = " " if style == "\t" else "\t"
    changed = [number for number, line in enumerate(lines) if number and line.strip() and number not in kept]
    margins = [margin(lines[number]).removeprefix(own) for number in changed]
    if not any(wrong in added for added in margins):
        return text
    step = min((len(added) for added in margins if added and set(added) == {" "}), default=TAB)
    step = step if step in (2, 3, 4, 8) else TAB

    def rewritten(line: str) -> str:
        old = margin(line)
        shared = own if old.startswith(own) else ""
        added = old[len(shared) :]
        if style != "\t":
            return shared + added.replace("\t", style) + line[len(old) :]
        spaces = added.replace("\t", " " * step)
        return shared + "\t" * (len(spaces) // step) + " " * (len(spaces) % step) + line[len(old) :]

    return "\n".join(rewritten(line) if number in changed else line for number, line in enumerate(lines))
