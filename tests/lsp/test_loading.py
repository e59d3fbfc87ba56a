"""The `shardline` command over a pipe while it loads: from a hub on this machine, and out of a folder."""

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.hub_peer import serving
from tests.lsp.clients import Client, started

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "shardline"]
MB = 1_000_000
NAME = "someone/tiny"


@pytest.fixture
def hub(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Yield a hub with a model of which 3 MB come at once, and 4 MB when the event is set."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))
    (folder / "some.json").write_bytes(b" " * 3 * MB)
    (folder / "more.json").write_bytes(b" " * 4 * MB)
    come = threading.Event()
    with serving({NAME: folder}, held={"more.json": come}) as endpoint:
        for name, value in {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
        }.items():
            monkeypatch.setenv(name, value)
        yield come
        come.set()


def loading_of(name: str) -> dict[str, Any]:
    return {"editor": "neovim", "options": {"model": {"name": name, "contextTokens": 512}}}


def shown(client: Client) -> list[Any]:
    (reports,) = client.lsp.progress_reports.values()
    return reports


async def test_downloading_tells_bytes_loading_layers_and_warming_that_it_warms(hub: threading.Event) -> None:
    async with started(COMMAND, **loading_of(NAME)) as client:
        status = await client.until("loading", message="3 of 7 MB")
        assert status.message == f"Downloading {NAME}: 3 of 7 MB"
        assert 42 <= status.percentage <= 45
        assert (await client.command("shardline.status"))["percentage"] == status.percentage
        hub.set()
        assert (await client.until("ready")).message == f"{NAME} is ready."
        first, *reports, last = shown(client)
        assert (first.kind, last.kind, last.message) == ("begin", "end", "Ready")
        activities = list(dict.fromkeys(report.message.partition(":")[0] for report in reports))
        assert activities == [f"Downloading {NAME}", f"Loading {NAME}", "Warming up"]
        layers = [report.message for report in reports if "layers" in report.message]
        assert layers, "of layers only the latest count may be told, but one is"
        assert all(told in [f"Loading {NAME}: {done} of 4 layers" for done in range(4)] for told in layers)
        assert layers == sorted(layers)
        assert all(report.percentage is None or 0 <= report.percentage <= 100 for report in reports)


async def test_a_server_that_is_left_while_it_downloads_ends(hub: threading.Event) -> None:
    async with started(COMMAND, **loading_of(NAME)) as client:
        await client.until("loading", message="3 of 7 MB")


async def test_a_download_that_is_not_wanted_any_more_ends_and_another_model_comes(
    hub: threading.Event, tiny_folder: Path
) -> None:
    async with started(COMMAND, model={"name": NAME}) as client:
        await client.until("loading", message="3 of 7 MB")
        client.configure(model={"name": str(tiny_folder)})
        await client.until("loading", message=str(tiny_folder))
        hub.set()
        assert (await client.until("ready")).model == str(tiny_folder)
