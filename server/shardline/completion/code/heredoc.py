"""Open here documents and fenced strings, which grammars and lexers miss."""

import re

_ATTACHED = re.compile(r"(?<!<)<<[~-]?([\"'`]?)(?P<name>[A-Z_]\w*)\1")
HEREDOCS = {
    "shellscript": re.compile(r"(?<!<)<<-?\s*\\?([\"']?)(?P<name>[A-Za-z_]\w*)\1"),
    "php": re.compile(r"<<<\s*([\"']?)(?P<name>[A-Za-z_]\w*)\1"),
    **dict.fromkeys(["crystal", "dockerfile", "hcl", "perl", "ruby", "terraform"], _ATTACHED),
}
"""The beginning of a here document, by language name."""

FENCES = {"graphql": '"""', "pgsql": "$$", "plpgsql": "$$", "sql": "$$"}
"""The sign that begins and ends a string, by language name."""


def in_heredoc(text: str, at: int, language: str) -> bool:
    """Return whether the line feed at `at` is inside a here document or between fences."""
    pattern, behind = HEREDOCS.get(language), 0
    while pattern and (begins := pattern.search(text, behind, at)):
        body = text.find("\n", begins.end())
        ends = re.compile(rf"^[ \t]*{begins['name']}\b", re.MULTILINE).search(text, body + 1, at) if body < at else None
        if ends is None:
            return True
        behind = ends.end()
    return language in FENCES and text.count(FENCES[language], 0, at) % 2 == 1
