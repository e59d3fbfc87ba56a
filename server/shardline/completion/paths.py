"""Paths of documents and file name patterns."""

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
"""Prefixes and suffixes of editors' backup, lock, undo and autosave files."""

MAX_CACHED_MATCHES = 256


def path_of(address: str) -> str:
    """Return the path in an address without its scheme: absolute, with slashes and without `..`."""
    return _path(re.split("[?#]", address, maxsplit=1)[0])


def paths_of(address: str) -> Iterator[str]:
    """Yield each path that the address may mean, and the target of each symbolic link.

    Some editors do not escape `?` and `#`.
    """
    for path in dict.fromkeys([path_of(address), _path(address)]):
        yield path
        with suppress(OSError, ValueError):
            real = os.path.realpath(path[1:] if DRIVE.match(path) else path)
            yield _path(real)


def match(path: str, patterns: Iterable[str]) -> str | None:
    """Return the first pattern that matches the path's name, or its whole if the pattern has a slash."""
    return next((each for each in patterns if fnmatchcase(path if "/" in each else _name(path), _anchored(each))), None)


@lru_cache(MAX_CACHED_MATCHES)
def match_secret(path: str, patterns: tuple[str, ...]) -> str | None:
    """Return the first pattern that matches a path or the file it is a backup of, ignoring case."""
    spellings = list(_spellings(path.casefold()))
    return next((each for each in patterns if any(match(path, [each.casefold()]) for path in spellings)), None)


def _path(address: str) -> str:
    path = unquote(address).partition("\0")[0].replace("\\", "/")
    return posixpath.normpath("/" + path.removeprefix("//localhost/").lstrip("/"))


def _spellings(path: str) -> Iterator[str]:
    """Yield the path as it is, as Windows reads it, and without its backup affixes."""
    folder, name = posixpath.split(path)
    for each in dict.fromkeys([name, name.partition(":")[0].rstrip(". ")]):
        yield posixpath.join(folder, each)
        if (original := BACKUP.sub("", each)) != each:
            yield posixpath.join(folder, original)
            yield posixpath.join(folder, original.removeprefix("."))


def _name(path: str) -> str:
    return posixpath.basename(path)


def _anchored(pattern: str) -> str:
    """Return a pattern for whole paths that may begin in any folder."""
    return pattern if "/" not in pattern or pattern.startswith(("/", "*")) else f"*/{pattern}"
