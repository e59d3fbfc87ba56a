"""Files that figures are written to."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the figures go besides the terminal."""

    json: Path | None = None
    plot: Path | None = None
