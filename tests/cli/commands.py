"""The command line as a child process."""

import os
import subprocess
import sys


def shardline(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shardline", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", **environment},
        check=False,
    )


def output(*arguments: str) -> str:
    done = shardline(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout
