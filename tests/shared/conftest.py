"""What tests of shared engines share: a runtime folder of each test's own, which no engine outlives."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardline.engine import process, registry


@pytest.fixture(autouse=True)
def own_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    yield
    for entry in registry.all_entries():
        assert asyncio.run(process.end(entry))
