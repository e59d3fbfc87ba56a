"""Engines in adverse systems: a crash, a full disk, little memory, a foreign folder."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shardline.engine.shared import registry
from tests.http.servers import SERVE
from tests.http.servers import started as listening
from tests.lsp.clients import Client, started
from tests.shared.windows import COMMAND, ghost_of, settings, shardline, the_engine, window

pytestmark = pytest.mark.slow

LIMITED = ["/bin/sh", "-c", 'ulimit "$1" "$2"; shift 2; exec "$@"', "sh"]


async def test_the_log_of_a_crash_outlives_the_restart(tiny_folder: Path) -> None:
    async with window(tiny_folder) as client:
        crashed = the_engine()
        os.kill(crashed.pid, signal.SIGSEGV)
        failed = await client.until("failed")
        await client.until("ready")
        log = registry.log_file(crashed.id)
        assert str(log) in failed.message
        words = log.read_text()
        assert "Fatal Python error: Segmentation fault" in words
        assert "most recent call first" in words


async def test_a_log_that_has_grown_long_begins_anew_and_tells_where_the_old_one_is(tiny_folder: Path) -> None:
    async with window(tiny_folder) as client:
        log = registry.log_file(the_engine().id)
        with log.open("a") as stream:
            stream.write("much " * registry.MAX_LOG_BYTES)
        os.kill(the_engine().pid, signal.SIGKILL)
        await client.until("failed")
        await client.until("ready")
        old = log.with_suffix(".log.1")
        assert log.stat().st_size < registry.MAX_LOG_BYTES < old.stat().st_size
        assert str(old) in log.read_text()


@asynccontextmanager
async def limited(kind: str, limit: int, folder: Path) -> AsyncIterator[Client]:
    """Yield a window whose language server and engine have a limit, as the shell's `ulimit` sets it."""
    async with started([*LIMITED, kind, str(limit), *COMMAND], **settings(folder)) as client:
        yield client


@pytest.mark.parametrize("gigabytes", [0.4, 0.2])
async def test_an_engine_that_may_not_have_the_memory_is_told_of(tiny_folder: Path, gigabytes: float) -> None:
    async with limited("-v", int(gigabytes * (1 << 20)), tiny_folder) as client:
        status = await client.until_settled()
        assert status.state == "failed"
        assert "ulimit -v" in status.message


async def test_where_nothing_can_be_written_that_is_told(tiny_folder: Path) -> None:
    async with limited("-f", 0, tiny_folder) as client:
        status = await client.until_settled()
        assert status.state == "failed"
        assert "runtime folder" in status.message
        assert "engine.mode" in status.message
        assert "None" not in status.message


async def test_an_engine_without_a_log_is_better_than_none(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    async with window(tiny_folder) as client:
        assert await ghost_of(client)


@pytest.mark.parametrize("name", ["with spaces", "näme", "n" * 120])
async def test_the_folders_may_have_any_name(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        folder = tmp_path / name / variable
        folder.mkdir(mode=0o700, parents=True)
        monkeypatch.setenv(variable, str(folder))
    async with window(tiny_folder) as client:
        assert await ghost_of(client)
        assert the_engine().id in (await shardline("engines"))[1]
    assert (await shardline("engines", "stop", "--all"))[0] == 0


async def test_nobody_else_may_write_to_what_is_made_whatever_the_umask(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "made" / variable))

    async with started(["/bin/sh", "-c", 'umask 0; exec "$@"', "sh", *COMMAND], **settings(tiny_folder)) as client:
        assert (await client.until_settled()).state == "ready"
        assert await ghost_of(client)
    for path in [*(tmp_path / "made").rglob("*"), *(tmp_path / "runtime").rglob("*")]:
        assert path.stat().st_mode & 0o022 == 0 or path.is_socket(), path


@pytest.fixture
def foreign(tmp_path: Path, own_runtime: None) -> Iterator[Path]:
    """Yield the runtime folder that the system has for this user, which somebody else has made."""
    folder = tmp_path / f"runtime-{os.getuid()}"
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, 12345, -1)
    else:
        folder.chmod(0o777)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TMPDIR", str(tmp_path))
        environment.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        environment.delenv("XDG_RUNTIME_DIR")
        yield folder


async def test_where_the_runtime_folder_is_somebody_elses_another_is_used(
    tiny_folder: Path, tmp_path: Path, foreign: Path
) -> None:
    own = tmp_path / "state" / "shardline" / "run"
    async with started(COMMAND, **settings(tiny_folder)) as client:
        assert (await client.until_settled()).state == "ready"
        assert await ghost_of(client)
        (file,) = own.rglob("*.json")
        assert file.stem in (await shardline("engines"))[1]
    async with listening("--model", str(tiny_folder), command=SERVE, loaded=False, SHARDLINE_API_KEY="") as server:
        server.process.terminate()
        assert str(own) in (await server.ended())[1]
    assert (await shardline("engines", "stop", "--all"))[0] == 0
    assert not os.listdir(foreign)  # noqa: PTH208  which blocks for as long


async def test_where_no_runtime_folder_can_be_had_that_is_told(
    tiny_folder: Path, tmp_path: Path, foreign: Path
) -> None:
    (tmp_path / "state").touch()
    for command in (["engines"], ["engines", "stop", "--all"], ["serve", "--model", str(tiny_folder)]):
        code, text = await shardline(*command)
        assert code == 1
        assert "XDG_RUNTIME_DIR" in text
        assert "Traceback" not in text
    async with started(COMMAND, **settings(tiny_folder)) as client:
        assert "XDG_RUNTIME_DIR" in (await client.until_settled()).message
        client.configure(model=settings(tiny_folder)["model"], engine={"mode": "inprocess"})
        assert (await client.until_settled()).state == "ready"
