"""The language at the cursor, where a document embeds one in another."""

import re
from dataclasses import replace

from shardline.completion import Source, context

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
    """Return the document in the language that its cursor stands in."""
    language = source.language.lower()
    finds = _in_php if language == "php" else _in_page if language in PAGES else _in_notes
    if finds is _in_notes and language not in NOTES:
        return source
    found = finds(context.window(source)[0])
    return replace(source, language=found) if found else source


def _in_php(before: str) -> str | None:
    """HTML, outside of the tags of PHP; what has no tags is taken to be PHP."""
    tags = _PHP.findall(before)
    return "html" if (tags and tags[-1] == "?>") or (not tags and before.lstrip().startswith("<")) else None


def _in_page(before: str) -> str | None:
    tags = _TAG.findall(before)
    if not tags or tags[-1][0]:
        return None
    if tags[-1][1].lower() == "style":
        return "css"
    return "typescript" if _SCRIPT.search(tags[-1][2]) else "javascript"


def _in_notes(before: str) -> str | None:
    """The language that the last fence names: one that closes names none."""
    fences = _FENCE.findall(before)
    return _SHORT.get(fences[-1].lower(), fences[-1].lower()) or None if fences else None
