"""The build of the native library for exactly this CPU."""

import hashlib
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from shardline import children
from shardline.engine.weights.linear import int4_block
from shardline.folders import cache_folder

FOLDER = Path(__file__).parent
COMPILERS = ("g++", "c++")
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-fPIC", "-shared", "-w")
AT_REST = """
umask 077
trap "" INT
nice -n 19 "$@" -o "$PARTIAL" && sha256sum <"$PARTIAL" >"$PARTIAL.sum" &&
    mv "$PARTIAL.sum" "$LIBRARY.sha256" && mv "$PARTIAL" "$LIBRARY" || { rm -f "$PARTIAL" "$PARTIAL.sum"; exit 1; }
"""
"""Compiles at the lowest priority, and goes on if this process ends, so that the next one finds the library."""


def supported() -> bool:
    """Return whether the library supports this system and this CPU."""
    return platform.system() == "Linux" and platform.machine() == "x86_64" and int4_block() is not None


def compiler() -> str | None:
    """Return the C++ compiler that can build the library, or None."""
    if not supported():
        return None
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)


def library() -> Path:
    """Return the path of the library, which may not exist yet: its name is a hash of its sources and the CPU."""
    made_of = hashlib.sha256(" ".join([*FLAGS, str(int4_block()), torch.__version__]).encode())
    for source in [*sorted(FOLDER.glob("*.h")), FOLDER / "step.cpp"]:
        made_of.update(source.read_bytes())
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    made_of.update(next((line for line in lines if line.startswith("flags")), "").encode())
    return cache_folder() / "kernels" / f"step-{made_of.hexdigest()[:16]}.so"


def build(compiler: str, *, lock: int | None = None) -> str:
    """Build the library, which appears whole or not at all; return the compiler's complaint, empty if it succeeds.

    The compiler keeps the file `lock` open even if this process ends. Raises `OSError` if the folder or the compiler
    cannot be used.
    """
    target = library()
    partial = tempfile.mktemp(dir=target.parent, prefix=f".{target.name}-")  # noqa: S306  the compiler writes it
    surroundings = children.surroundings()
    surroundings["env"] |= {"PARTIAL": partial, "LIBRARY": str(target)}
    done = subprocess.run(  # noqa: S603  the compiler that the user's PATH names
        ["/bin/sh", "-c", AT_REST, "sh", compiler, *FLAGS, f"-DBLOCK={int4_block()}", str(FOLDER / "step.cpp")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
        pass_fds=() if lock is None else (lock,),
        **surroundings,
    )
    return "" if done.returncode == 0 else done.stderr.strip() or f"it ended with {done.returncode}"
