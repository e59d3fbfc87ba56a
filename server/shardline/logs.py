"""Log on standard error; users' code appears only at debug level."""

import faulthandler
import logging
import os
import sys

from shardline.terminal import printable

FOREIGN = (
    "accelerate",
    "asyncio",
    "filelock",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "huggingface_hub",
    "pygls",
    "torch",
    "urllib3",
    "uvicorn",
)
"""Libraries that log more than users can act on, or the documents themselves."""


class Formatter(logging.Formatter):
    """Formats records so that no text in one can command a terminal or pass for another record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record made printable, its further lines indented."""
        return printable(super().format(record)).replace("\n", "\n    ")


def configure(level: str) -> None:
    """Write records of `level` (error, warning, info or debug) and above, and where it crashes; may be called again."""
    if not faulthandler.is_enabled():
        faulthandler.enable(file=sys.__stderr__ or 2)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger().setLevel(level.upper())
    for name in FOREIGN:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)
