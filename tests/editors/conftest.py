"""These tests run by `python -m tests.editors` alone, which installs their editors first."""

import os
from collections.abc import Iterator

import pytest

from tests.editors.http_server import serving

collect_ignore_glob = [] if "SHARDLINE_EDITORS" in os.environ else ["test_*.py"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Yield the address of a `shardline serve` that knows the cases."""
    with serving() as url:
        yield url
