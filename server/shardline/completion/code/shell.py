"""Arms of `case` in a shell, whose labels open no bracket."""

import re
from collections.abc import Iterator

_CASE = re.compile(r"(?<![\w$-])(?:(?P<begins>case\s+[^\n;]+?\s+in)|esac)(?![\w-])")


def cases(text: str) -> Iterator[tuple[int, bool]]:
    """Yield where each `case … in` of a shell ends, with True, and where each `esac` begins, with False."""
    for found in _CASE.finditer(text):
        yield (found.end(), True) if found["begins"] else (found.start(), False)
