"""Foreign text made safe for editors, plain or as Markdown."""

import re

_NOT_SHOWN = re.compile(r"(?:[^\S ]|[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff])+")
"""White space but for spaces, control characters, those that turn the direction of writing, and lone surrogates."""

_LANGUAGE = re.compile(r"[\w+#.-]{1,40}")


def one_line(text: str) -> str:
    """Return `text` as a line: a space stands for characters that show nothing."""
    return _NOT_SHOWN.sub(" ", text).strip()


def plain(text: str) -> str:
    """Return `text` as a line in which no editor finds a link; VS Code's messages have `[text](command:…)`."""
    return one_line(text).replace("](", "] (")


def code_span(text: str) -> str:
    """Return `text` as a line of code in Markdown, which is nothing else whatever it holds; empty where it is blank."""
    line = one_line(text)
    fence = "`" * (_longest_run(line) + 1)
    return f"{fence} {line} {fence}" if line else ""


def code_cell(text: str) -> str:
    """Return `code_span` for a table, whose cells end at a `|`; one behind a backslash is told from that by a space."""
    return code_span(text).replace("\\|", "\\ |").replace("|", "\\|")


def code_block(text: str, language: str) -> str:
    """Return `text` as a block of code in Markdown, highlighted as `language` where that is a name."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language if _LANGUAGE.fullmatch(language) else ''}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    """Return how many backticks stand side by side, at most."""
    return max(map(len, re.findall("`+", text)), default=0)
