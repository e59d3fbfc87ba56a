"""Rule that distinguishes a model's path from its hub name."""

import os
from pathlib import Path

STARTS = ("/", "./", "../", "~")
STARTS_ON_WINDOWS = (".\\", "..\\", "\\")
GGUF = ".gguf"


def model_path(name: str) -> Path | None:
    """Return the absolute path that `name` stands for; None for a name on the hub.

    Only a name that is written as a path is one: the working directory of a server is an open project, and a folder
    there must not take the place of a model on the hub.
    """
    name = name.strip()
    if "\0" in name or not (name in (".", "..") or name.startswith(STARTS) or _is_windows_path(name)):
        return None
    try:
        return Path(os.path.abspath(Path(name).expanduser()))  # noqa: PTH100  without following links
    except RuntimeError:  # the home of an unknown user
        return None


def is_there(path: Path | str) -> bool:
    """Return whether a file or folder is there, for names too that no file can have."""
    return os.path.exists(path)  # noqa: PTH110  unlike Path.exists it never raises


def beside(name: str) -> str:
    """Return the absolute path of a GGUF file in the working directory, and any other name as it is.

    Only for names from the command line: no name on the hub is a file name alone.
    """
    is_file_name = name.endswith(GGUF) and Path(name).name == name
    return os.path.abspath(name) if is_file_name and is_there(name) else name  # noqa: PTH100  as above


def _is_windows_path(name: str) -> bool:
    return os.name == "nt" and (name.startswith(STARTS_ON_WINDOWS) or bool(Path(name).drive))
