"""From the sources beside this file to a library for exactly this CPU, kept in the user's cache folder."""

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
"""The compiler, at the lowest priority; goes on where this process is ended, so that the next one finds the library."""


def supported() -> bool:
    """Whether the library is written for this system and this CPU."""
    return platform.system() == "Linux" and platform.machine() == "x86_64" and int4_block() is not None


def compiler() -> str | None:
    """The C++ compiler that can make the library, or None."""
    if not supported():
        return None
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)


def library() -> Path:
    """Where the library is kept, or will be: its name says what it is made of and for which CPU."""
    made_of = hashlib.sha256(" ".join([*FLAGS, str(int4_block()), torch.__version__]).encode())
    for source in [*sorted(FOLDER.glob("*.h")), FOLDER / "step.cpp"]:
        made_of.update(source.read_bytes())
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    made_of.update(next((line for line in lines if line.startswith("flags")), "").encode())
    return cache_folder() / "kernels" / f"step-{made_of.hexdigest()[:16]}.so"


def build(compiler: str, *, lock: int | None = None) -> str:
    """Make the library, which appears whole or not at all; returns what the compiler has to say against it.

    The compiler keeps the file `lock` open, also where this process ends. Raises `OSError` where the folder or the
    compiler cannot be used.
    """
    target = library()
    partial = tempfile.mktemp(dir=target.parent, prefix=f".{target.name}-")  # noqa: S306  the compiler makes it
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
