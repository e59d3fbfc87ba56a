"""`case` statements of shells, whose labels end with an unmatched bracket."""

import re
from collections.abc import Iterator

_CASE = re.compile(r"(?<![\w$-])(?:(?P<begins>case\s+[^\n;]+?\s+in)|esac)(?![\w-])")


def cases(text: str) -> Iterator[tuple[int, bool]]:
    """Yield the end of each `case … in` with True, and the start of each `esac` with False."""
    for found in _CASE.finditer(text):
        yield (found.end(), True) if found["begins"] else (found.start(), False)
