"""Panics of Rust libraries, which Python sees as no `Exception`."""

from collections.abc import Iterator
from contextlib import contextmanager

from shardline.errors import first_line


@contextmanager
def as_errors() -> Iterator[None]:
    """Raise a panic inside as a `RuntimeError`: whoever handles errors would not see it, and the thread would end."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # which no library exports
            raise RuntimeError(first_line(error)) from error
        raise
