"""The commands: flags become settings, settings an engine, and an engine a server."""

import gc
import os
import sys

from shardline.errors import ShardlineError

SPINS = "2000"
"""How often a thread of torch's looks whether the others are done before it sleeps. GNU's OpenMP looks 300,000 times:
where other programs want the cores too, such threads keep each other from them, and a token takes 600 ms, not 12."""


def main() -> None:
    """Run the command line; a `ShardlineError` ends it with its sentence and exit code 1."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    gc.disable()  # what is imported stays: collecting during start-up only costs time
    from shardline.cli.app import app

    try:
        app(prog_name="shardline")
    except ShardlineError as error:
        sys.stderr.write(f"shardline: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
