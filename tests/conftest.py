"""What tests share: a tiny model in a folder, and a cache that is not the user's."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardline import logs
from shardline.engine.shared import control, registry
from shardline.statistics.store import Store, own_file
from tests import tiny


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reaches the hub or the user's own cache of it, counts for the user's own statistics, or shares an engine.

    What SmolLM2's tests fetch is kept between runs. Engines that tests have shared end with them.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        environment.setenv("HF_HOME", str(tmp_path_factory.mktemp("huggingface")))
        environment.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        environment.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        environment.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        logs.configure("error")
        yield
        for entry in registry.all_entries():
            assert asyncio.run(control.end(entry))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the tiny Llama of `tests.tiny`."""
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder, for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(os.environ["XDG_CACHE_HOME"]) / "shardline"


@pytest.fixture
def own_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Yield a runtime folder for this test alone, which no engine outlives."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    yield
    for entry in registry.all_entries():
        assert asyncio.run(control.end(entry))


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Statistics that are empty, of this test alone and of what it starts."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return Store(own_file())
