"""Paths of documents, and patterns of file names that match them."""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from urllib.parse import unquote

DRIVE = re.compile("/[A-Za-z]:")
BACKUP = re.compile(r"^\.?#|(?:\.un~|\.~\d+~|~|#|\.(?:sw[a-p]|bak|backup|old|orig|save|tmp|copy))$")
"""What editors put around the name of a file for its backup, lock, undo history and unsaved text."""

KEPT_VERDICTS = 256


def path_of(address: str) -> str:
    """Return the path in an address, without its scheme: absolute, separated by slashes, with no `..` in it."""
    return _path(re.split("[?#]", address, maxsplit=1)[0])


def paths_of(address: str) -> Iterator[str]:
    """Yield each path that the address may stand for.

    Some editors do not escape `?` and `#`. A link is what it leads to as well; one that cannot be followed is not.
    """
    for path in dict.fromkeys([path_of(address), _path(address)]):
        yield path
        with suppress(OSError, ValueError):
            real = os.path.realpath(path[1:] if DRIVE.match(path) else path)
            yield _path(real)


def match(path: str, patterns: Iterable[str]) -> str | None:
    """Return the first pattern that a path matches: its name, or, for patterns with a slash, the whole."""
    return next((each for each in patterns if fnmatchcase(path if "/" in each else _name(path), _anchored(each))), None)


@lru_cache(KEPT_VERDICTS)
def match_secret(path: str, patterns: tuple[str, ...]) -> str | None:
    """Return the first pattern that a path or what it is a backup of matches, in small or capital letters."""
    spellings = list(_spellings(path.casefold()))
    return next((each for each in patterns if any(match(path, [each.casefold()]) for path in spellings)), None)


def _path(address: str) -> str:
    path = unquote(address).partition("\0")[0].replace("\\", "/")
    return posixpath.normpath("/" + path.removeprefix("//localhost/").lstrip("/"))


def _spellings(path: str) -> Iterator[str]:
    """Yield the path as it is, as Windows would read it, and without what makes it a backup."""
    folder, name = posixpath.split(path)
    for each in dict.fromkeys([name, name.partition(":")[0].rstrip(". ")]):
        yield posixpath.join(folder, each)
        if (original := BACKUP.sub("", each)) != each:
            yield posixpath.join(folder, original)
            yield posixpath.join(folder, original.removeprefix("."))


def _name(path: str) -> str:
    return posixpath.basename(path)


def _anchored(pattern: str) -> str:
    """Return `pattern` so that one for whole paths may begin anywhere."""
    return pattern if "/" not in pattern or pattern.startswith(("/", "*")) else f"*/{pattern}"
