"""A user's home folder: the files of editor-config where their README has them, and `shardline` on the path."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_path

from tests.editors.cases import Case
from tests.editors.waiting import until

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "editor-config"
SCRIPTED = ("-m", "tests.editors.scripted_server")
READY = "ready"
"""The file in the home by which the scripted server tells that its model is ready and a document is open."""


class Home:
    """An empty home, in which the command `shardline` runs Python with `server` as its arguments."""

    def __init__(self, folder: Path, server: Sequence[str] = SCRIPTED) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir(parents=True)
        (self.project / ".editorconfig").write_text("root = true\n[tabs.py]\nindent_style = tab\ntab_width = 4\n")
        command = folder / "bin" / "shardline"
        command.parent.mkdir()
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command.write_text(
            "#!/bin/sh\n"
            f"export PYTHONPATH='{paths}' XDG_CACHE_HOME='{user_cache_path()}'\n"
            f"export XDG_RUNTIME_DIR='{os.environ['XDG_RUNTIME_DIR']}'\n"  # whose engines the tests end
            f"exec '{sys.executable}' {' '.join(server)} \"$@\"\n"
        )
        command.chmod(0o755)
        (folder / ".profile").write_text(f"PATH='{command.parent}':$PATH\n")  # VS Code asks the login shell

    @property
    def environment(self) -> dict[str, str]:
        """What an editor is started with: nothing of the surroundings of the tests."""
        return {
            "HOME": str(self.folder),
            "PATH": f"{self.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "SHELL": "/bin/sh",
        }

    def configure(self, source: str, target: str) -> None:
        """Copy `editor-config/SOURCE` to `~/TARGET`, as the README says."""
        readme = (CONFIG / "README.md").read_text(encoding="utf-8")
        assert f"`{source}`" in readme
        assert f"`~/{target}`" in readme
        place = self.folder / target
        place.parent.mkdir(parents=True)
        shutil.copyfile(CONFIG / source, place)

    def until_ready(self) -> None:
        """Wait until the scripted server can suggest in the document that was opened first."""
        until((self.folder / READY).exists)
        assert (self.folder / READY).exists()

    def write(self, case: Case) -> Path:
        """Return the file of a case, as it is before."""
        file = self._file(case)
        file.write_bytes(case.file)
        return file

    def expect_accepted(self, case: Case) -> None:
        """Wait until an editor has saved the file of a case with the suggestion in it, byte for byte."""
        until(lambda: self._saved(case) == case.accepted)
        saved = self._saved(case)
        assert saved == case.accepted, saved

    def _saved(self, case: Case) -> bytes:
        try:
            return self._file(case).read_bytes()
        except FileNotFoundError:
            return b""  # Helix moves the file away before it writes another

    def _file(self, case: Case) -> Path:
        return self.project / f"{case.name}.py"
