"""Commands: flags become settings, settings an engine, an engine a server."""

import gc
import sys

from shardline import children


def main() -> None:
    """Run the command line; a `ShardlineError` ends it with its sentence and exit code 1."""
    children.isolate()  # before any import that the working directory could answer
    import traceback

    from shardline import threads
    from shardline.errors import ShardlineError
    from shardline.folders import refuse_open_umask
    from shardline.terminal import printable

    threads.settle()
    refuse_open_umask()
    gc.disable()  # imports stay: collecting during start-up only costs time
    from shardline.cli.app import app

    try:
        app(prog_name="shardline")
    except ShardlineError as error:
        sys.stderr.write(printable(f"shardline: {error}\n"))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # noqa: BLE001  our own fault, printed as Python would, but escaped
        sys.stderr.write(printable(traceback.format_exc()))
        sys.exit(1)
