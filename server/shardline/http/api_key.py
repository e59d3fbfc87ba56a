"""API key of the server: the user's or a generated private file."""

import contextlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from shardline.errors import SettingsError
from shardline.folders import runtime_folder

VARIABLE = "SHARDLINE_API_KEY"
"""The environment variable that may hold the key."""

MIN_CHARACTERS = 16


def own_file() -> Path:
    """Return the default file of the key; raises `SettingsError`."""
    try:
        return runtime_folder() / "api-key"
    except OSError as error:
        raise SettingsError(
            f"The user's runtime folder cannot be used ({error.filename}: {error.strerror}); set XDG_RUNTIME_DIR, or "
            "name another file with --api-key-file."
        ) from error


def read_or_make(file: Path) -> str:
    """Return the key in `file`, after writing a random one if the file is missing; raises `SettingsError`."""
    if not os.path.exists(file):  # noqa: PTH110  `Path.exists` may raise, `_make` reports why
        _make(file)
    return _read(file)


def check(key: str, source: str) -> str:
    """Return `key` if it fits a header and is long enough; raises `SettingsError`, which names `source`."""
    if len(key) < MIN_CHARACTERS or not (key.isascii() and key.isprintable()) or " " in key:
        raise SettingsError(f"{source} must have at least {MIN_CHARACTERS} letters, digits or signs, and no spaces.")
    return key


def _make(file: Path) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="utf-8") as new:
            new.write(secrets.token_urlsafe(32) + "\n")
            new.flush()
            with contextlib.suppress(FileExistsError):
                os.link(new.name, file)  # atomic, as several servers may start at once
    except OSError as error:
        raise SettingsError(f"--api-key-file {file} cannot be written: {error.strerror}.") from error


def _read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            status = os.fstat(stream.fileno())
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--api-key-file {file} cannot be read ({error}).") from error
    if os.name == "posix" and (status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077):
        raise SettingsError(f"--api-key-file {file} can be read by others; remove it, or run chmod 600.")
    return check(text.strip(), f"The key in {file}")
