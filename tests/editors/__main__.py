"""Installs the editors and runs the tests of this folder in them; arguments are pytest's, for example `-k neovim`."""

import os
import subprocess
import sys
from pathlib import Path

from tests.editors import debian, install


def main() -> int:
    """Return pytest's exit code."""
    try:
        install.everything()
    except debian.DebianError as error:
        sys.exit(str(error))
    paths = [str(install.PYTHON), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SHARDLINE_EDITORS": "1"}
    command = [sys.executable, "-m", "pytest", str(Path(__file__).parent), "-rs", *sys.argv[1:]]
    code = subprocess.run(command, env=environment, check=False).returncode
    sys.stdout.write(f"Screenshots are in {install.SCREENSHOTS}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
