"""A model beside another one: it is placed as if it were alone, and loaded only where there is room for both now."""

import json
import shutil
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from shardline.engine.local.engine import LocalEngine
from shardline.engine.local.opener import open_runner
from shardline.engine.placement import devices, room
from shardline.engine.plan import MIB, DeviceShare, Plan
from shardline.errors import CheckpointError, NoRoomError, PlacementError
from shardline.settings import ModelSettings

PIB = 2**50


def share(size: int, device: str = "cpu") -> DeviceShare:
    return DeviceShare(device=device, limit=None, weights=size, kv_cache=0, workspace=0, layers=1)


def plan(*shares: DeviceShare) -> Plan:
    return Plan(model="m", dtype="float32", device_map={"": "cpu"}, devices=shares)


async def opened(settings: ModelSettings) -> LocalEngine:
    engine = LocalEngine(settings)
    await engine.load(lambda _: None)
    return engine


def huge(tiny_folder: Path, tmp_path: Path) -> ModelSettings:
    """Return a model that `model.maxMemory` allows, but no machine has the memory for, without weights."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "huge"))
    config = json.loads((folder / "config.json").read_text())
    config.update(hidden_size=65536, intermediate_size=262144, num_hidden_layers=200)
    (folder / "config.json").write_text(json.dumps(config))
    return ModelSettings(name=str(folder), max_memory={"cpu": PIB})


def test_what_the_other_model_holds_counts_as_free_where_memory_is_not_set() -> None:
    alone = room.as_if_alone(ModelSettings(), plan(share(0)))
    beside = room.as_if_alone(ModelSettings(), plan(share(PIB)))
    assert alone.max_memory
    assert beside.max_memory
    assert int(alone.max_memory["cpu"]) < PIB * devices.FREE_SHARE < int(beside.max_memory["cpu"])
    assert room.as_if_alone(ModelSettings(max_memory={"cpu": 7}), plan(share(PIB))).max_memory == {"cpu": 7}


def test_there_is_room_where_each_device_has_it_now() -> None:
    room.check(plan(share(MIB), share(PIB, "disk")))
    with pytest.raises(NoRoomError, match=r"m needs 1048576\.0 GiB on cpu"):
        room.check(plan(share(PIB)))
    with pytest.raises(NoRoomError):
        room.check(plan(share(MIB, "another")))


async def test_a_model_that_has_room_is_loaded_beside_the_other(tiny_folder: Path) -> None:
    settings = ModelSettings(name=str(tiny_folder), context_tokens=512)
    with closing(await opened(settings)) as first, closing(LocalEngine(replace(settings, dtype="bfloat16"))) as second:
        await second.load(lambda _: None, beside=first)
        assert first.placement
        assert first.placement.dtype == "float32"
        assert second.placement
        assert second.placement.dtype == "bfloat16"


def test_it_is_placed_as_it_may_lie_when_the_other_has_gone(tiny_folder: Path) -> None:
    beside = plan(share(PIB))
    runner = open_runner(ModelSettings(name=str(tiny_folder)), lambda _: None, beside)
    assert (runner.plan.devices[0].limit or 0) > PIB / 2


async def test_one_that_has_no_room_reads_no_weights_until_the_other_has_gone(
    tiny_folder: Path, tmp_path: Path
) -> None:
    with (
        closing(await opened(ModelSettings(name=str(tiny_folder)))) as first,
        closing(LocalEngine(huge(tiny_folder, tmp_path))) as second,
    ):
        with pytest.raises(NoRoomError):
            await second.load(lambda _: None, beside=first)
        with pytest.raises(CheckpointError):  # which says that it has come to the weights
            await second.load(lambda _: None)


async def test_one_that_would_not_fit_alone_either_is_refused_as_ever(tiny_folder: Path) -> None:
    settings = ModelSettings(name=str(tiny_folder))
    with (
        closing(await opened(settings)) as first,
        closing(LocalEngine(replace(settings, max_memory={"cpu": 10 * 2**10}))) as second,
    ):
        with pytest.raises(PlacementError) as caught:
            await second.load(lambda _: None, beside=first)
        assert not isinstance(caught.value, NoRoomError)


def test_shares_are_read_as_they_are_told() -> None:
    assert DeviceShare(**asdict(share(7))) == share(7)
