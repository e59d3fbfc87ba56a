"""Escaping of foreign text for editors, as plain text or Markdown."""

import re

_NOT_SHOWN = re.compile(r"(?:[^\S ]|[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff])+")
"""White space other than spaces, control and bidirectional characters, and lone surrogates."""

_LANGUAGE = re.compile(r"[\w+#.-]{1,40}")


def one_line(text: str) -> str:
    """Return `text` as one line, with a space in place of invisible characters."""
    return _NOT_SHOWN.sub(" ", text).strip()


def plain(text: str) -> str:
    """Return `text` as one line without links: VS Code's messages run `[text](command:…)`."""
    return one_line(text).replace("](", "] (")


def code_span(text: str) -> str:
    """Return `text` as one Markdown code span that it cannot leave; empty if it is blank."""
    line = one_line(text)
    fence = "`" * (_longest_run(line) + 1)
    return f"{fence} {line} {fence}" if line else ""


def code_cell(text: str) -> str:
    """Return `code_span` for a table cell, with `|` escaped; a space separates it from a backslash before it."""
    return code_span(text).replace("\\|", "\\ |").replace("|", "\\|")


def code_block(text: str, language: str) -> str:
    """Return `text` as a Markdown code block, highlighted as `language` if that is a valid name."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language if _LANGUAGE.fullmatch(language) else ''}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    """Return the length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)
