"""Here documents and the arms of `case`: grammars lose them while they are being written."""

import re
from collections.abc import Iterator

HEREDOCS = {
    "shellscript": re.compile(r"(?<!<)<<-?\s*\\?([\"']?)(?P<name>[A-Za-z_]\w*)\1"),
    "ruby": re.compile(r"<<[~-]?([\"'`]?)(?P<name>[A-Z_]\w*)\1"),
    "php": re.compile(r"<<<\s*([\"']?)(?P<name>[A-Za-z_]\w*)\1"),
}
"""How here documents begin, by the name of the language."""

_CASE = re.compile(r"(?<![\w$-])(?:(?P<begins>case\s+[^\n;]+?\s+in)|esac)(?![\w-])")


def in_heredoc(text: str, at: int, language: str) -> bool:
    """Return whether the line feed at `at` stands within a here document, an open one included."""
    pattern, behind = HEREDOCS.get(language), 0
    while pattern and (begins := pattern.search(text, behind, at)):
        body = text.find("\n", begins.end())
        ends = re.compile(rf"^[ \t]*{begins['name']}\b", re.MULTILINE).search(text, body + 1, at) if body < at else None
        if ends is None:
            return True
        behind = ends.end()
    return False


def cases(text: str) -> Iterator[tuple[int, bool]]:
    """Yield where each `case … in` of a shell ends, with True, and where each `esac` begins, with False."""
    for found in _CASE.finditer(text):
        yield (found.end(), True) if found["begins"] else (found.start(), False)
