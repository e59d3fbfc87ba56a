"""Memory limit of this process."""

import sys


def memory_limit() -> str:
    """Tell of a limit that was set for this process, as a sentence after a space; empty if there is none."""
    if sys.platform == "win32":
        return ""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return ""
    return (
        f" It may have only {limit / (1 << 30):.1f} GiB of memory here: raise `ulimit -v`, or choose a smaller model."
    )
