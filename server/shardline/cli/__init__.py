"""The commands: flags become settings, settings an engine, and an engine a server."""

import gc
import sys

from shardline.cli import threads
from shardline.errors import ShardlineError
from shardline.private_files import refuse_open_umask


def main() -> None:
    """Run the command line; a `ShardlineError` ends it with its sentence and exit code 1."""
    threads.settle()
    refuse_open_umask()
    gc.disable()  # what is imported stays: collecting during start-up only costs time
    from shardline.cli.app import app

    try:
        app(prog_name="shardline")
    except ShardlineError as error:
        sys.stderr.write(f"shardline: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
