"""Embedded languages at the cursor."""

import re
from dataclasses import replace

from shardline.completion import Source
from shardline.completion.code import excerpt

PAGES = frozenset(["astro", "html", "svelte", "vue"])
"""Languages that embed scripts and styles."""

NOTES = frozenset(["markdown", "quarto", "rmd"])
"""Languages that embed code between fences."""

_PHP = re.compile(r"<\?(?:php\b|=)|\?>")
_FENCE = re.compile(r"^ {0,3}(?:```+|~~~+)[ {]*([\w+#-]*)", re.MULTILINE)
_TAG = re.compile(r"<(/?)(script|style)\b([^>]*)>", re.IGNORECASE)
_SCRIPT = re.compile(r"lang\s*=\s*[\"']?(ts|tsx|typescript)\b")
_SHORT = {"bash": "shellscript", "js": "javascript", "py": "python", "rs": "rust", "ts": "typescript"}


def at_cursor(source: Source) -> Source:
    """Return the document in the language at its cursor, from where that begins."""
    language = source.language.lower()
    if language != "php" and language not in PAGES | NOTES:
        return source
    before, _ = excerpt.window(source)
    found, begin = (_in_php if language == "php" else _in_page if language in PAGES else _in_notes)(before)
    if not found:
        return source
    first = max(0, source.line - max(0, before.count("\n", begin) - 1)) if begin else 0
    return replace(source, language=found, lines=source.lines[first:], line=source.line - first, characters=None)


def _in_php(before: str) -> tuple[str, int]:
    """Return HTML outside of PHP tags; text without tags counts as PHP."""
    tags = _PHP.findall(before)
    is_html = tags[-1] == "?>" if tags else before.lstrip().startswith("<")
    return ("html" if is_html else ""), 0


def _in_page(before: str) -> tuple[str, int]:
    last = next(reversed(list(_TAG.finditer(before))), None)
    if last is None or last[1]:
        return "", 0
    if last[2].lower() == "style":
        return "css", last.end()
    return ("typescript" if _SCRIPT.search(last[3]) else "javascript"), last.end()


def _in_notes(before: str) -> tuple[str, int]:
    """Return the language that the last fence names; a closing fence names none."""
    last = next(reversed(list(_FENCE.finditer(before))), None)
    name = last[1].lower() if last else ""
    return _SHORT.get(name, name), last.end() if last else 0
