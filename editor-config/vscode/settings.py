"""Writes the server's settings into package.json, which shows them in VS Code; --check only says whether that is done.

Run it with a Python in which Shardline is installed.
"""

import copy
import json
import sys
from pathlib import Path

from shardline.cli.settings import restricted, schema

PACKAGE = Path(__file__).with_name("package.json")
OURS = "shardline.command"
"""The one setting that the extension reads itself; package.json is the place to change it."""


def main() -> None:
    """Rewrite package.json, or with --check exit with 1 if that would change it."""
    settings = schema()["properties"]
    old = json.loads(PACKAGE.read_text(encoding="utf-8"))
    new = copy.deepcopy(old)
    configuration = new["contributes"]["configuration"]
    configuration["properties"] = {OURS: configuration["properties"][OURS], **settings}
    # A folder that nobody vouched for may shape suggestions, but not choose a program, a model, an address or a file.
    new["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"] = [OURS, *restricted()]
    if new == old:
        return
    if "--check" in sys.argv:
        sys.exit("package.json does not have the server's settings; run: python editor-config/vscode/settings.py")
    PACKAGE.write_text(json.dumps(new, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
