"""What README and editor configurations tell is what the program says."""

import json
import re
import subprocess
import sys

from tests import documentation


def test_the_generated_parts_of_the_readme_are_fresh() -> None:
    assert documentation.README.read_text(encoding="utf-8") == documentation.fresh(), (
        "run python -m tests.documentation"
    )


def test_the_settings_that_vs_code_shows_are_the_servers() -> None:
    script = documentation.ROOT / "editor-config" / "vscode" / "settings.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_versions_agree() -> None:
    from shardline import __version__

    package = json.loads((documentation.ROOT / "editor-config/vscode/package.json").read_text(encoding="utf-8"))
    assert package["version"] == __version__
    assert f"## {__version__}" in (documentation.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_links_of_the_readme_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", documentation.README.read_text(encoding="utf-8")):
        assert (documentation.ROOT / link).exists(), link
