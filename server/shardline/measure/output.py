"""Files that figures are written to."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Files:
    """Files for the figures, besides the terminal."""

    json: Path | None = None
    plot: Path | None = None
