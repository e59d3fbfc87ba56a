"""CPU affinity and spinning of torch's OpenMP threads.

OpenMP reads the environment when torch is imported.
"""

import os
from pathlib import Path

SPINS = "2000"
"""Spins of a waiting thread before it sleeps. GNU's OpenMP has 300,000: where other
programs want the CPUs too, such threads keep each other from them, and a token takes 600 ms, not 12."""

MULTITHREADING = Path("/sys/devices/system/cpu/smt/active")
"""File by which Linux says whether a core counts as several CPUs."""


def settle() -> None:
    """Set what the user has not set.

    Where a core is one CPU, torch has as many threads as there are CPUs. Linux finds no CPU idle then, and when they
    awake puts two on one, where they may stay for a whole prompt, which takes twice as long. There each gets its own.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    if MULTITHREADING.is_file() and MULTITHREADING.read_text(encoding="ascii").strip() == "0":
        os.environ.setdefault("OMP_PROC_BIND", "true")


def unsettle() -> None:
    """Let what is imported from now on have its own way."""
    for name in ("GOMP_SPINCOUNT", "OMP_PROC_BIND"):
        os.environ.pop(name, None)


def use_any_cpu() -> None:
    """Let this thread run wherever the process may, if torch's OpenMP has bound it or the one that made it to a CPU."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, os.sched_getaffinity(os.getpid()))
