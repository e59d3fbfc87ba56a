"""The documents say what the program does, and their links lead somewhere."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import documentation

SERVER = documentation.ROOT / "server"
MAP = SERVER / "ARCHITECTURE.md"
DOCUMENTS = sorted(
    document
    for folder in (".", ".github", "editor-config", "editor-config/vscode", "server", "tests")
    for document in (documentation.ROOT / folder).glob("*.md")
)


def name_of(document: Path) -> str:
    return str(document.relative_to(documentation.ROOT))


@pytest.mark.parametrize("document", documentation.DOCUMENTS, ids=name_of)
def test_generated_parts_are_fresh(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert documentation.BLOCK.search(text)
    assert text == documentation.fresh(document), "run python -m tests.documentation"


def test_the_settings_that_vs_code_shows_are_the_servers() -> None:
    script = documentation.ROOT / "editor-config" / "vscode" / "settings.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_versions_agree() -> None:
    from shardline import __version__

    package = json.loads((documentation.ROOT / "editor-config/vscode/package.json").read_text(encoding="utf-8"))
    assert package["version"] == __version__
    assert f"## {__version__}" in (documentation.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / link).exists(), link


def test_the_readme_is_short_and_a_package_index_shows_no_link_into_the_repository() -> None:
    text = documentation.README.read_text(encoding="utf-8")
    assert len(text.encode()) <= 9 * 1024
    project = tomllib.loads((documentation.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for rule in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    assert "](" not in text


def test_each_module_of_the_map_exists_and_each_wing_is_on_it() -> None:
    text = MAP.read_text(encoding="utf-8")
    for name in re.findall(r"`([\w./]+(?:/|\.(?:py|cpp|md)))`", text):
        assert any((root / name).exists() for root in (SERVER / "shardline", documentation.ROOT)), name
    wings = {
        folder.relative_to(SERVER / "shardline")
        for folder in (SERVER / "shardline").glob("**/")
        if (folder / "__init__.py").exists() and folder != SERVER / "shardline"
    }
    assert len(wings) > 20
    for wing in wings:
        assert f"`{wing}/`" in text, wing
