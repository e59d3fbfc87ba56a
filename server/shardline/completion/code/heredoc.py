"""Unfinished here documents and texts, which grammars and lexers lose."""

import re

_ATTACHED = re.compile(r"(?<!<)<<[~-]?([\"'`]?)(?P<name>[A-Z_]\w*)\1")
HEREDOCS = {
    "shellscript": re.compile(r"(?<!<)<<-?\s*\\?([\"']?)(?P<name>[A-Za-z_]\w*)\1"),
    "php": re.compile(r"<<<\s*([\"']?)(?P<name>[A-Za-z_]\w*)\1"),
    **dict.fromkeys(["crystal", "dockerfile", "hcl", "perl", "ruby", "terraform"], _ATTACHED),
}
"""How here documents begin, by the name of the language."""

FENCES = {"graphql": '"""', "pgsql": "$$", "plpgsql": "$$", "sql": "$$"}
"""What begins and ends a text, by the name of the language."""


def in_heredoc(text: str, at: int, language: str) -> bool:
    """Return whether the line feed at `at` stands within a here document or between fences."""
    pattern, behind = HEREDOCS.get(language), 0
    while pattern and (begins := pattern.search(text, behind, at)):
        body = text.find("\n", begins.end())
        ends = re.compile(rf"^[ \t]*{begins['name']}\b", re.MULTILINE).search(text, body + 1, at) if body < at else None
        if ends is None:
            return True
        behind = ends.end()
    return language in FENCES and text.count(FENCES[language], 0, at) % 2 == 1
