"""Programs from Debian: installed on this machine, or unpacked from another suite into a folder of their own."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"


class DebianError(Exception):
    """Why a package cannot be had."""


def install(*packages: str) -> None:
    """Install packages on this machine unless they are there; that needs root."""
    missing = [package for package in packages if not _is_installed(package)]
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise DebianError(f"Some packages are missing, and only root can install them: {' '.join(command)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update"], environment)
    _run(command, environment)


def unpack(suite: str, packages: Sequence[str], root: Path) -> None:
    """Unpack packages of `suite`, with all they depend on, into `root`; nothing else on this machine changes."""
    apt = root / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()  # as if nothing were installed, so that libc comes too
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
    (apt / "apt.conf").write_text(
        f'Dir::State::status "{apt}/status";\n'
        f'Dir::State::lists "{apt}/lists";\n'
        f'Dir::Cache "{apt}";\n'
        f'Dir::Etc::sourcelist "{apt}/sources.list";\n'
        'Dir::Etc::sourceparts "/dev/null";\n'
        'APT::Sandbox::User "";\n'
        'Acquire::Check-Valid-Until "false";\n'  # a mirror may lag behind; what it has is signed all the same
        'Debug::NoLocking "true";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    _run(["apt-get", "update"], environment)
    _run(["apt-get", "install", "--yes", "--no-install-recommends", "--download-only", *packages], environment)
    for package in (apt / "archives").glob("*.deb"):
        _run(["dpkg", "--extract", str(package), str(root)], environment)
    shutil.rmtree(apt)


def make_starter(root: Path, name: str, *arguments: str, **environment: str) -> None:
    """Write `root/NAME`, which starts an unpacked program with the libraries it came with."""
    command = [f"{root}/{LOADER}", "--library-path", f"{root}/{LIBRARIES}", f"{root}/usr/bin/{name}", *arguments]
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in environment.items())
    starter = root / name
    starter.write_text(f'#!/bin/sh\n{exports}exec {shlex.join(command)} "$@"\n')
    starter.chmod(0o755)


def _is_installed(package: str) -> bool:
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "installed"


def _mirror() -> str:
    targets = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], dict(os.environ))
    return next(
        (line for line in targets.splitlines() if line.rstrip("/").endswith("/debian")), "http://deb.debian.org/debian"
    )


def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise DebianError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
