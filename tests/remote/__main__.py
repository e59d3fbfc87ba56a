"""Installation of the real servers and a run of this folder's tests; arguments are pytest's."""

import os
import subprocess
import sys
from pathlib import Path

from tests.remote import install


def main() -> int:
    """Return pytest's exit code."""
    install.everything()
    command = [sys.executable, "-m", "pytest", "-rs", str(Path(__file__).parent), *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, "SHARDLINE_REMOTES": "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
